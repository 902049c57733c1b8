//! `crm copy`: between SQLite and PostgreSQL, interrupted, and into what is not empty. Both databases are needed, so these run
//! where the tests run on PostgreSQL.

use std::{process::Stdio, time::Duration};

use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::{Value, json};

use crate::harness::{
    CommandOutput, PII_KEYS, Process, Service, TestDatabase, assert_totals_right, command, on_postgres, run_crm,
    sql::{column, scalar},
    start_and_stop, within,
};

const KEYS: [(&str, &str); 1] = [("CRM_PII_KEYS", PII_KEYS)];

fn copy(from: &TestDatabase, to: &TestDatabase, further: &[&str]) -> CommandOutput {
    let (from, to) = (from.url(), to.url());
    run_crm(&[&["copy", "--from", &from, "--to", &to], further].concat(), &KEYS)
}

/// A service with something in every table: resources, erased and deleted ones, moves, a trail, events, repeated requests.
async fn filled() -> Service {
    let service = Service::start().await;
    for number in 0..25 {
        let customer = service
            .create(
                "/customers",
                json!({ "name": format!("中国 Müller {number}"), "contactPhone": format!("138123456{number:02}"), "contactEmail": "li@lei.example" }),
            )
            .await["customerId"]
            .as_str()
            .unwrap()
            .to_owned();
        let contact = service.contact(&customer).await;
        let opportunity = service.opportunity(&customer).await;
        service.follow_up(json!({ "content": "x\n\"y\"", "contactId": contact, "opportunityId": opportunity })).await;
        service.advance(61_000);
        service
            .patch(&format!("/opportunities/{opportunity}"), json!({ "stage": number % 7 }))
            .send()
            .await
            .expect(200);
        if number % 5 == 0 {
            service.delete(&format!("/contacts/{contact}")).send().await.expect(204);
        }
    }
    service.remove_deleted().await;
    service
}

/// What each table holds, as PostgreSQL writes it; but for totals, whose changes are added up in a copy.
async fn contents(database: &DatabaseConnection) -> Vec<(String, String)> {
    let tables = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace \
                  AND relname NOT LIKE '%\\_deltas' AND relname NOT IN ('list_counts', 'pipeline_totals', 'seaql_migrations') \
                  ORDER BY relname";
    let mut contents = Vec::new();
    for table in column::<String>(database, tables).await {
        let sql = format!("SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '') FROM {table} AS t");
        contents.push((table, scalar(database, &sql).await));
    }
    contents
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_to_sqlite_and_back_is_what_it_was() {
    if !on_postgres() {
        return;
    }
    let service = filled().await;
    let before: Vec<Value> = [
        service.read("/customers?pageSize=100&sort=name").await,
        service.read("/search?q=müller").await,
        service.read("/pipeline/summary").await,
        service.read("/changes").await,
    ]
    .into();
    let (file, again) = (TestDatabase::sqlite(), TestDatabase::new().await);
    let there = copy(&service.database, &file, &[]);
    assert_eq!(there.code, Some(0), "{there:?}");
    assert!(there.stdout.contains("the audit trail is unbroken\n"), "{there:?}");
    assert!(there.stdout.contains("sealed with the keys test:"), "{there:?}");
    // The service works on the copy: what is read, found and added up is the same, and it goes on from there.
    let on_file = Service::on(file, &[]).await;
    on_file.advance(25 * 61_000);
    assert_eq!(on_file.read("/customers?pageSize=100&sort=name").await, before[0]);
    assert_eq!(on_file.read("/search?q=müller").await, before[1]);
    assert_eq!(on_file.read("/pipeline/summary").await, before[2]);
    assert_eq!(on_file.read("/changes").await, before[3]);
    assert_totals_right(&on_file.database.url());
    let back = copy(&on_file.database, &again, &[]);
    assert_eq!(back.code, Some(0), "{back:?}");
    let (original, copied) = (service.database.connect().await, again.connect().await);
    let (original, copied) = (contents(&original).await, contents(&copied).await);
    assert!(original.len() > 30, "{} tables", original.len());
    for (original, copied) in original.iter().zip(&copied) {
        assert_eq!(original, copied);
    }
    // Both go on from there: no number that was given to an event is given again.
    for database in [&on_file.database, &again] {
        on_file.app.database().close().await.unwrap();
        let process = Process::at(&database.url(), &[]);
        let mut client = process.client().await;
        let created = client.call("POST", "/customers", "afterwards", &json!({ "name": "x" })).await.body;
        within(30, "the event", async || {
            let events = client.get("/events?limit=1000").await.body;
            let mut resources = events["data"].as_array().unwrap().iter().map(|event| &event["data"]["resource"]);
            resources.any(|resource| resource["customerId"] == created["customerId"] && resource["name"] == json!("x"))
        })
        .await;
        assert_eq!(process.stop().await, Some(0));
        let verified = run_crm(&["audit", "verify"], &[("CRM_DATABASE_URL", &database.url()), KEYS[0]]);
        assert_eq!(verified.code, Some(0), "{verified:?}");
        assert_totals_right(&database.url());
    }
}

/// A service whose tenant has many follow-ups, so that copying takes a while.
async fn many() -> Service {
    let service = filled().await;
    let many = "INSERT INTO follow_ups (tenant_id, follow_up_id, customer_id, content, follow_up_type, created_at, updated_at) \
                SELECT tenant_id, gen_random_uuid(), customer_id, 'Called about ' || n, 'call', created_at, updated_at \
                FROM customers, generate_series(1, 400) AS n";
    service.database.connect().await.execute_unprepared(many).await.unwrap();
    service
}

/// Begins a copy and kills it once some rows are copied.
async fn interrupted(from: &TestDatabase, to: &TestDatabase) {
    let (source, target) = (from.url(), to.url());
    let mut copying = command(&["copy", "--from", &source, "--to", &target], &KEYS);
    let mut copying = copying.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let target = sea_orm::Database::connect(format!("{target}?mode=rwc")).await.unwrap();
    within(60, "rows are copied", async || {
        let copied = "SELECT count(*) FROM sqlite_master WHERE name = 'copy_state'";
        scalar::<i64>(&target, copied).await == 1
            && scalar::<i64>(&target, "SELECT count(*) FROM follow_ups").await > 3000
    })
    .await;
    copying.kill().unwrap();
    copying.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_killed_goes_on_and_is_not_served_before() {
    if !on_postgres() {
        return;
    }
    let (service, file) = (many().await, TestDatabase::sqlite());
    interrupted(&service.database, &file).await;
    let url = file.url();
    let served = start_and_stop(&[("CRM_DATABASE_URL", &url), KEYS[0]]);
    assert_eq!(served.code, Some(1));
    assert!(served.stderr.contains("a copy into this database was interrupted"), "{}", served.stderr);
    let refused = run_crm(&["migrate", "up"], &[("CRM_DATABASE_URL", &url), KEYS[0]]);
    assert!(refused.stderr.contains("a copy into this database was interrupted"), "{refused:?}");
    let on = copy(&service.database, &file, &[]);
    assert_eq!(on.code, Some(0), "{on:?}");
    let (here, there) = (service.database.connect().await, file.connect().await);
    let rows = "SELECT count(*) FROM follow_ups";
    assert_eq!(scalar::<i64>(&here, rows).await, scalar::<i64>(&there, rows).await);
    assert_totals_right(&url);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_was_changed_meanwhile_is_copied_anew() {
    if !on_postgres() {
        return;
    }
    let (service, file) = (many().await, TestDatabase::sqlite());
    interrupted(&service.database, &file).await;
    let customers = service.read("/customers?sort=createdAt").await;
    let customer = customers["data"][0]["customerId"].as_str().unwrap();
    service.patch(&format!("/customers/{customer}"), json!({ "name": "changed" })).send().await.expect(200);
    let on = copy(&service.database, &file, &[]);
    assert_eq!(on.code, Some(1), "{on:?}");
    assert!(on.stderr.contains("begin anew with --restart"), "{on:?}");
    let anew = copy(&service.database, &file, &["--restart"]);
    assert_eq!(anew.code, Some(0), "{anew:?}");
    let name = "SELECT count(*) FROM customers WHERE name = 'changed'";
    assert_eq!(scalar::<i64>(&file.connect().await, name).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_overwrites_nothing_and_reads_what_nobody_writes() {
    if !on_postgres() {
        return;
    }
    let (service, file) = (Service::start().await, TestDatabase::sqlite());
    service.customer().await;
    let other = Service::on(TestDatabase::sqlite(), &[]).await;
    other.customer().await;
    let full = copy(&service.database, &other.database, &[]);
    assert_eq!(full.code, Some(1));
    assert!(full.stderr.contains("--to: the table customers has rows already"), "{full:?}");
    let restarted = copy(&service.database, &other.database, &["--restart"]);
    assert!(restarted.stderr.contains("has rows already"), "{restarted:?}");
    let alike = copy(&other.database, &file, &[]);
    assert!(alike.stderr.contains("copies are made between SQLite and PostgreSQL"), "{alike:?}");
    let missing = copy(&TestDatabase::sqlite(), &service.database, &[]);
    assert!(missing.stderr.contains("--from: there is no file"), "{missing:?}");
    // A change that is not committed yet is waited for, and not for ever.
    let database = service.database.connect().await;
    let changing = sea_orm::TransactionTrait::begin(&database).await.unwrap();
    changing.execute_unprepared("UPDATE customers SET name = 'y'").await.unwrap();
    let locked = copy(&service.database, &file, &[]);
    assert!(locked.stderr.contains("stop the service that writes to it"), "{locked:?}");
    changing.rollback().await.unwrap();
    assert_eq!(copy(&service.database, &file, &[]).code, Some(0));
    tokio::time::timeout(Duration::from_secs(60), service.customer()).await.unwrap();
}
