//! PostgreSQL frozen, cut off, restarted, locked and read-only under the running service: every answer comes within
//! 10 s and is 503 where it must be, and within 10 s after the fault everything works again, with no write lost or
//! doubled. `make outages` runs this, with a server of its own.

use std::time::Duration;

use sea_orm::ConnectionTrait;

use crate::harness::{Client, Load, Process, Proxy, WriteHistory, assert_durable, postgres::PostgresServer, within};

/// The service while clients write to it.
struct UnderLoad {
    process: Process,
    history: WriteHistory,
    client: Client,
    load: Load,
}

impl UnderLoad {
    /// Starts the service, and waits until clients have written `writes` times.
    async fn start(url: &str, writes: usize) -> Self {
        let (process, history) = (Process::at(url, &[]), WriteHistory::default());
        let client = process.client().await;
        let load = Load::start(&process, &history, 8);
        load.until_acknowledged(writes).await;
        Self { process, history, client, load }
    }

    /// Fails unless the service recovers, takes `writes` more writes and has lost none.
    async fn assert_recovers(mut self, writes: usize, url: &str) {
        assert_recovers(&self.history, &mut self.client).await;
        self.load.until_acknowledged(writes).await;
        self.load.stop().await;
        assert_durable(&self.history, &self.process, url).await;
    }
}

/// Fails unless health, reads and writes work within 10 s.
async fn assert_recovers(history: &WriteHistory, client: &mut Client) {
    let start = tokio::time::Instant::now();
    within(10, "healthy again", async || client.get("/health").await.status == 200).await;
    within(10, "reads again", async || client.get("/customers").await.status == 200).await;
    within(10, "writes again", async || history.write(client, 0).await == 201).await;
    assert!(start.elapsed() < Duration::from_secs(10), "recovered after {:?}", start.elapsed());
    eprintln!("recovered after {:?}; {}", start.elapsed(), history.summary());
}

/// Fails unless concurrent requests are answered 503 in time, and `/health` soon.
async fn assert_unavailable(history: &WriteHistory, process: &Process) {
    let (mut one, mut other, mut third) = (process.client().await, process.client().await, process.client().await);
    let health = within(10, "/health is 503", async || third.get("/health").await.status == 503);
    let (read, written, ()) = tokio::join!(one.get("/customers"), history.write(&mut other, 0), health);
    assert_eq!((read.status, written), (503, 503));
    assert_eq!(third.get("/health").await.status, 503);
}

/// Fails unless each of many requests in sequence succeeds.
async fn assert_no_request_fails(history: &WriteHistory, client: &mut Client) {
    for turn in 0..40 {
        let answer = client.get("/customers?pageSize=1").await;
        assert_eq!(answer.status, 200, "GET number {turn}: {}", answer.body);
        assert_eq!(history.write(client, 0).await, 201, "POST number {turn}");
    }
}

/// Fails unless requests that need `customers` are 503 in time while another session locks the table for `seconds`.
pub async fn assert_locked_table_is_503(
    seconds: u64,
    server: &PostgresServer,
    process: &Process,
    history: &WriteHistory,
) {
    let locking = server.hold("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE").await;
    history.reset_counts();
    let unlocked = async {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        locking.execute_unprepared("ROLLBACK").await.unwrap();
    };
    let asked = async {
        let (mut reader, mut writer) = (process.client().await, process.client().await);
        let (read, written) = tokio::join!(reader.get("/customers"), history.write(&mut writer, 0));
        assert_eq!((read.status, written), (503, 503));
    };
    tokio::join!(unlocked, asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn a_frozen_server_is_503_within_10_s_and_recovers() {
    let Some(server) = PostgresServer::start().await else { return };
    let service = UnderLoad::start(&server.url(), 100).await;
    server.freeze();
    let thawed = async {
        tokio::time::sleep(Duration::from_secs(15)).await;
        server.thaw();
    };
    let asked = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_unavailable(&service.history, &service.process).await;
    };
    tokio::join!(thawed, asked);
    service.assert_recovers(200, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn a_server_cut_off_is_503_within_10_s_and_recovers() {
    let Some(server) = PostgresServer::start().await else { return };
    let proxy = Proxy::to(server.address()).await;
    let service = UnderLoad::start(&server.url_through(proxy.port()), 100).await;
    proxy.cut();
    let restored = async {
        tokio::time::sleep(Duration::from_secs(25)).await;
        proxy.restore();
    };
    let asked = async {
        for _ in 0..2 {
            assert_unavailable(&service.history, &service.process).await;
        }
    };
    tokio::join!(restored, asked);
    service.assert_recovers(200, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn silent_old_connections_are_replaced_within_10_s() {
    let Some(server) = PostgresServer::start().await else { return };
    let proxy = Proxy::to(server.address()).await;
    let UnderLoad { process, history, mut client, load } =
        UnderLoad::start(&server.url_through(proxy.port()), 100).await;
    proxy.silence_connections();
    assert_recovers(&history, &mut client).await;
    load.until_acknowledged(300).await;
    load.stop().await;
    // Again, while nobody writes.
    proxy.silence_connections();
    assert_recovers(&history, &mut client).await;
    assert_durable(&history, &process, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn a_stopped_server_is_503_and_after_its_restart_no_request_fails() {
    let Some(mut server) = PostgresServer::start().await else { return };
    let (mut proxy, history) = (Proxy::to(server.address()).await, WriteHistory::default());
    let process = Process::at(&server.url_through(proxy.port()), &[]);
    let mut client = process.client().await;
    // As many clients as the service may have connections, so that it has all of them.
    let load = Load::start(&process, &history, 24);
    load.until_acknowledged(200).await;
    load.stop().await;
    server.shut_down();
    assert_unavailable(&history, &process).await;
    server.boot().await;
    assert_no_request_fails(&history, &mut client).await;
    // The same while connections are refused.
    proxy.refuse().await;
    server.shut_down();
    assert_unavailable(&history, &process).await;
    server.boot().await;
    proxy.accept().await;
    assert_recovers(&history, &mut client).await;
    // Under load.
    let load = Load::start(&process, &history, 8);
    load.until_acknowledged(50).await;
    server.shut_down();
    server.boot().await;
    assert_recovers(&history, &mut client).await;
    load.until_acknowledged(100).await;
    load.stop().await;
    assert_durable(&history, &process, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn after_all_sessions_are_terminated_no_request_fails() {
    let Some(server) = PostgresServer::start().await else { return };
    let (url, history) = (server.url(), WriteHistory::default());
    let process = Process::at(&url, &[]);
    let mut client = process.client().await;
    for _ in 0..3 {
        let load = Load::start(&process, &history, 24);
        load.until_acknowledged(100).await;
        load.stop().await;
        server.terminate_all().await;
        assert_no_request_fails(&history, &mut client).await;
    }
    assert_durable(&history, &process, &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn a_locked_table_is_503_within_10_s_and_recovers() {
    let Some(server) = PostgresServer::start().await else { return };
    let service = UnderLoad::start(&server.url(), 50).await;
    assert_locked_table_is_503(15, &server, &service.process, &service.history).await;
    service.assert_recovers(100, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn a_read_only_server_serves_reads_refuses_writes_and_recovers() {
    let Some(server) = PostgresServer::start().await else { return };
    let UnderLoad { process, history, mut client, load } = UnderLoad::start(&server.url(), 50).await;
    server.read_only(true).await;
    within(10, "writes are refused", async || history.write(&mut client, 0).await == 503).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    history.reset_counts();
    for _ in 0..10 {
        assert_eq!(history.write(&mut client, 0).await, 503);
        assert_eq!(client.get("/customers").await.status, 200);
    }
    within(10, "/health is 503", async || client.get("/health").await.status == 503).await;
    assert_eq!(client.get("/customers").await.status, 200);
    assert_eq!(history.count(201), 0);
    server.read_only(false).await;
    assert_recovers(&history, &mut client).await;
    history.reset_counts();
    load.until_acknowledged(100).await;
    load.stop().await;
    assert_eq!(history.count(503), 0, "writes are refused after the recovery");
    assert_durable(&history, &process, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make outages"]
async fn after_kills_on_a_syncing_server_every_acknowledged_write_is_there() {
    let Some(server) = PostgresServer::start().await else { return };
    let (url, history) = (server.url(), WriteHistory::default());
    for _round in 0..5 {
        let process = Process::at(&url, &[]);
        let load = Load::start(&process, &history, 8);
        load.until_acknowledged(100).await;
        load.kill(process).await;
    }
    assert_durable(&history, &Process::at(&url, &[]), &url).await;
}
