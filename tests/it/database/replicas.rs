//! A standby of PostgreSQL that requests are read from: what is read there is never older than it may be, and whatever happens to
//! the standby, reads go on. Each test has a primary and a standby of its own.

use std::time::Duration;

use crm::database::roles;
use serde_json::{Value, json};

use crate::harness::{
    Client, Load, Process, Proxy, WriteHistory, assert_durable,
    metrics::Scrape,
    postgres::{PostgresServer, url_as},
    run_crm, within,
};

/// The role that the service runs as, on both servers.
const ROLE: &str = "crm_service";
/// What the standby calls itself.
const STANDBY: &str = "crm_standby";

/// A primary with the schema, and a standby of it.
struct Servers {
    primary: PostgresServer,
    standby: PostgresServer,
}

impl Servers {
    async fn start() -> Option<Self> {
        let primary = PostgresServer::start().await?;
        let migrated = run_crm(&["migrate", "up"], &[("CRM_DATABASE_URL", &primary.url())]);
        assert_eq!(migrated.code, Some(0), "{migrated:?}");
        let grants = roles::grants(ROLE, "public");
        primary.run(&[&grants]).await;
        let standby = primary.standby(STANDBY).await;
        Some(Self { primary, standby })
    }

    fn instance(&self) -> Process {
        instance(&self.primary.url_as(ROLE), &self.standby.url_as(ROLE))
    }
}

/// The service, which reads at another address than it writes.
fn instance(url: &str, read_url: &str) -> Process {
    Process::at(
        url,
        &[
            ("CRM_DATABASE_READ_URL", read_url),
            ("CRM_METRICS_ADDR", "127.0.0.1:0"),
            ("CRM_MIGRATE", "check"),
            ("CRM_DATABASE_CONNECTIONS", "12"),
        ],
    )
}

async fn metric(process: &Process, name: &str, labels: &[(&str, &str)]) -> u64 {
    Scrape::from(&process.private).await.unwrap().sum(name, labels) as u64
}

/// How many requests were read from the standby.
async fn standby_reads(process: &Process) -> u64 {
    metric(process, "crm_standby_reads_total", &[]).await
}

/// How many were read from the primary for this reason.
async fn passed_over(process: &Process, why: &str) -> u64 {
    metric(process, "crm_standby_passed_over_total", &[("why", why)]).await
}

/// Waits until the standby is read, or is not.
async fn until_read(process: &Process, read: bool) {
    within(20, "the standby is read or not", async || {
        metric(process, "crm_standby_works", &[]).await == u64::from(read)
    })
    .await;
}

/// Creates a customer: its path, and the position of the change.
async fn create(client: &mut Client, name: &str) -> (String, String) {
    let answer = client.call("POST", "/customers", name, &json!({ "name": name })).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let position = answer.headers["X-Database-Position"].to_str().unwrap().to_owned();
    (format!("/customers/{}", answer.body["customerId"].as_str().unwrap()), position)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_read_from_the_standby_unless_they_must_see_the_newest() {
    let Some(servers) = Servers::start().await else { return };
    let (writing, reading) = (servers.instance(), servers.instance());
    let scopes = "crm:read crm:pii:read crm:audit:read";
    let (mut writer, mut reader) = (writing.client().await, reading.client().await.scoped(scopes));
    until_read(&reading, true).await;
    let (path, position) = create(&mut writer, "acme").await;
    reader.position = Some(position);
    for read in [
        path.clone(),
        format!("{path}/overview"),
        format!("{path}/timeline"),
        "/customers".to_owned(),
        "/contacts".to_owned(),
        "/follow-ups".to_owned(),
        "/opportunities".to_owned(),
        "/search?q=acme".to_owned(),
        "/pipeline/summary".to_owned(),
        "/pipeline/forecast".to_owned(),
        "/pipeline/stalled".to_owned(),
        "/audit-logs".to_owned(),
    ] {
        let before = standby_reads(&reading).await;
        within(10, &format!("{read} is read from the standby"), async || {
            assert_eq!(reader.get(&read).await.status, 200, "{read}");
            standby_reads(&reading).await > before
        })
        .await;
    }
    // What must be the newest is not.
    for read in ["/events", "/changes", "/requests/acme", &format!("{path}/export")] {
        let before = standby_reads(&reading).await;
        assert_eq!(reader.get(read).await.status, 200, "{read}");
        assert_eq!(standby_reads(&reading).await, before, "{read}");
    }
    // The standby holds what a session may do to what the primary holds it to.
    let writes = servers.standby.session().await;
    let refused = sea_orm::ConnectionTrait::execute_unprepared(&writes, "DELETE FROM customers").await;
    assert!(refused.unwrap_err().to_string().contains("read-only"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_has_written_it_reads_also_while_the_standby_stands_still() {
    let Some(servers) = Servers::start().await else { return };
    let (writing, reading) = (servers.instance(), servers.instance());
    let (mut writer, mut reader) = (writing.client().await, reading.client().await);
    create(&mut writer, "first").await;
    until_read(&writing, true).await;
    until_read(&reading, true).await;
    servers.standby.pause_replay(true).await;
    let (path, position) = create(&mut writer, "second").await;
    // The same instance reads it without being told, another one if it is told.
    let own = passed_over(&writing, "own_write").await;
    assert_eq!(writer.get(&path).await.status, 200);
    assert_eq!(passed_over(&writing, "own_write").await, own + 1);
    let before = standby_reads(&reading).await;
    let seen = reader.get(&path).await.status;
    // On a slow machine the standby is seconds behind by now, and passed over.
    let is_of_standby = standby_reads(&reading).await > before;
    assert_eq!(seen, if is_of_standby { 404 } else { 200 });
    reader.position = Some(position.clone());
    for _ in 0..20 {
        assert_eq!(reader.get(&path).await.status, 200);
        assert_eq!(reader.get(&format!("{path}/overview")).await.status, 200);
    }
    assert!(!is_of_standby || passed_over(&reading, "behind").await > 0);
    // A refusal that tells of the newest says where that is.
    let again = writer.call("POST", "/customers", "second", &json!({ "name": "second" })).await;
    assert_eq!(again.status, 409);
    assert!(again.headers["X-Database-Position"].to_str().unwrap() >= position.as_str());
    // Once it is seconds behind, nobody reads it.
    reader.position = None;
    until_read(&reading, false).await;
    assert_eq!(reader.get(&path).await.status, 200);
    servers.standby.pause_replay(false).await;
    until_read(&reading, true).await;
    let before = standby_reads(&reading).await;
    assert_eq!(reader.get(&path).await.status, 200);
    assert_eq!(standby_reads(&reading).await, before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_standby_is_gone_or_silent_reads_go_on() {
    let Some(mut servers) = Servers::start().await else { return };
    let process = servers.instance();
    let mut client = process.client().await;
    until_read(&process, true).await;
    let mut all_answered = async || {
        for turn in 0..20 {
            let answer = client.get("/customers").await;
            assert_eq!(answer.status, 200, "GET number {turn}: {}", answer.body);
        }
    };
    all_answered().await;
    assert!(standby_reads(&process).await >= 20);
    servers.standby.kill();
    all_answered().await;
    until_read(&process, false).await;
    servers.standby.boot().await;
    until_read(&process, true).await;
    servers.standby.freeze();
    all_answered().await;
    until_read(&process, false).await;
    servers.standby.thaw();
    until_read(&process, true).await;
    let before = standby_reads(&process).await;
    all_answered().await;
    assert_eq!(standby_reads(&process).await, before + 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_standby_of_the_primary_is_not_read() {
    let Some(servers) = Servers::start().await else { return };
    let Some(other) = PostgresServer::start().await else { return };
    let other_standby = other.standby("other").await;
    for url in [servers.primary.url_as(ROLE), other.url(), other_standby.url(), servers.standby.url_as("nobody")] {
        let process = instance(&servers.primary.url_as(ROLE), &url);
        let mut client = process.client().await;
        for _ in 0..20 {
            assert_eq!(client.get("/customers").await.status, 200, "{url}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!((standby_reads(&process).await, passed_over(&process, "unavailable").await), (0, 20), "{url}");
    }
}

/// An address that leads to the primary, and the service that writes there.
struct Promotable {
    servers: Servers,
    address: Proxy,
    process: Process,
    history: WriteHistory,
}

impl Promotable {
    async fn start(synchronous: bool) -> Option<Self> {
        let servers = Servers::start().await?;
        if synchronous {
            // Of the primary alone: the standby, once it is promoted, has nobody to wait for.
            let named = format!("ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'");
            servers.primary.run(&[&named, "SELECT pg_reload_conf()"]).await;
        }
        let address = Proxy::to(servers.primary.address()).await;
        let process = instance(&url_as(ROLE, address.port()), &servers.standby.url_as(ROLE));
        until_read(&process, true).await;
        Some(Self { servers, address, process, history: WriteHistory::default() })
    }

    /// Kills the primary under load, promotes the standby and moves the address; fails unless all works again within 10 s.
    async fn fail_over(&mut self, load: &Load) {
        load.until_acknowledged(300).await;
        self.servers.primary.kill();
        self.servers.standby.promote().await;
        self.address.lead_to(self.servers.standby.address());
        let mut client = self.process.client().await;
        let moved = tokio::time::Instant::now();
        within(10, "healthy again", async || client.get("/health").await.status == 200).await;
        within(10, "reads again", async || client.get("/customers").await.status == 200).await;
        within(10, "writes again", async || self.history.write(&mut client, 0).await == 201).await;
        assert!(moved.elapsed() < Duration::from_secs(10), "recovered after {:?}", moved.elapsed());
        eprintln!("recovered after {:?}; {}", moved.elapsed(), self.history.summary());
        load.until_acknowledged(300).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn a_synchronous_standby_that_is_promoted_under_load_has_it_all() {
    let Some(mut promotable) = Promotable::start(true).await else { return };
    let load = Load::start(&promotable.process, &promotable.history, 8);
    promotable.fail_over(&load).await;
    load.stop().await;
    let Promotable { servers, process, history, .. } = promotable;
    assert_durable(&history, &process, &servers.standby.url()).await;
    // A new standby at an address of its own is what reads go to next.
    let next = servers.standby.standby("next").await;
    let process = instance(&servers.standby.url_as(ROLE), &next.url_as(ROLE));
    until_read(&process, true).await;
    assert_eq!(process.client().await.get("/customers").await.status, 200);
    assert_eq!(standby_reads(&process).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn of_an_asynchronous_standby_no_more_is_lost_than_it_was_behind() {
    let Some(mut promotable) = Promotable::start(false).await else { return };
    let load = Load::start(&promotable.process, &promotable.history, 8);
    load.until_acknowledged(100).await;
    load.stop().await;
    let (process, history) = (&promotable.process, &promotable.history);
    within(10, "the standby has it all", async || metric(process, "crm_standby_missing_bytes", &[]).await == 0).await;
    let before: Vec<(String, String)> =
        history.entries().acknowledged.iter().map(|(id, (_, path))| (id.clone(), path.clone())).collect();
    let load = Load::start(process, history, 8);
    promotable.fail_over(&load).await;
    load.stop().await;
    let mut client = promotable.process.client().await;
    for (id, path) in before {
        let answer = client.call("GET", &path, "look", &Value::Null).await;
        assert_eq!(answer.status, 200, "{id} at {path}");
    }
}
