//! The process: killed under load, stopped in order, started several times at once.

use futures_util::FutureExt;
use sea_orm::{ConnectOptions, ConnectionTrait};
use serde_json::{Value, json};

use crate::harness::{Load, Process, TestDatabase, WriteHistory, assert_consistent, assert_durable, run_crm};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kills_under_load_every_acknowledged_write_is_there_once() {
    let database = TestDatabase::new().await;
    let history = WriteHistory::default();
    for _round in 0..3 {
        let process = Process::start(&database);
        let load = Load::start(&process, &history, 8);
        load.until_acknowledged(150).await;
        assert_eq!(history.count(503), 0, "{}", history.summary());
        load.kill(process).await;
    }
    assert_durable(&history, &Process::start(&database), &database.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sigterm_and_sigint_the_service_finishes_and_exits_with_0() {
    for signal in ["-TERM", "-INT"] {
        let database = TestDatabase::new().await;
        let mut process = Process::start(&database);
        let mut client = process.client().await;
        let created = client.send("POST", "/customers", "one", json!({ "name": "x" })).await.unwrap();
        assert_eq!(created.0, 201);
        process.signal(signal);
        let status = tokio::task::spawn_blocking(move || process.child.wait().unwrap()).await.unwrap();
        assert_eq!(status.code(), Some(0));
        if let TestDatabase::Sqlite { directory } = &database {
            let log = directory.path().join("crm.db-wal");
            assert!(
                !log.exists() || log.metadata().unwrap().len() == 0,
                "the write-ahead log was not merged into the database"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_start_at_once_and_pass_their_healthchecks() {
    let database = TestDatabase::new().await;
    let processes: Vec<Process> = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..3).map(|_| scope.spawn(|| Process::start(&database))).collect();
        starting.into_iter().map(|start| start.join().unwrap()).collect()
    });
    for process in &processes {
        let port = process.address.rsplit_once(':').unwrap().1;
        let output = run_crm(&["healthcheck"], &[("CRM_PORT", port)]);
        assert_eq!(output.code, Some(0), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_broker_the_service_starts_and_accepts_writes() {
    let database = TestDatabase::new().await;
    let variables = [("CRM_EVENTS_URL", "amqp://127.0.0.1:1")];
    let process = Process::with("serve", "serving", &database, &variables);
    let mut client = process.client().await;
    let created = client.send("POST", "/customers", "one", json!({ "name": "x" })).await.unwrap();
    assert_eq!(created.0, 201);
    assert_eq!(client.send("GET", "/health", "h", Value::Null).await.unwrap().0, 200);
    let events = client.send("GET", "/events?wait=5", "e", Value::Null).await.unwrap();
    assert_eq!(events.1["data"][0]["data"]["resource"], created.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_consistency_check_detects_lost_doubled_and_partial_writes() {
    let (database, history) = (TestDatabase::new().await, WriteHistory::default());
    let process = Process::start(&database);
    let load = Load::start(&process, &history, 3);
    load.until_acknowledged(12).await;
    load.stop().await;
    assert_eq!(process.stop().await, Some(0));
    let mut options = ConnectOptions::new(database.url());
    options.max_connections(1);
    let connection = sea_orm::Database::connect(options).await.unwrap();
    assert_consistent(&history, &connection).await;
    let one = "(SELECT MAX(request_id) FROM idempotent)";
    let last = "(SELECT MAX(seq) FROM outbox)";
    for wrong in [
        format!("DELETE FROM idempotent WHERE request_id = {one}"),
        "DELETE FROM follow_ups".to_owned(),
        format!("DELETE FROM outbox WHERE seq = {last}"),
        format!("UPDATE outbox SET version = version + 1 WHERE seq = {last}"),
        format!("UPDATE outbox SET trace_id = 'another' WHERE seq = {last}"),
        "UPDATE customers SET version = version + 1".to_owned(),
        "UPDATE customers SET name = 'another'".to_owned(),
        format!("UPDATE idempotent SET request_id = 'another' WHERE request_id = {one}"),
    ] {
        connection.execute_unprepared("BEGIN").await.unwrap();
        assert!(connection.execute_unprepared(&wrong).await.unwrap().rows_affected() > 0, "{wrong}");
        let check = std::panic::AssertUnwindSafe(assert_consistent(&history, &connection));
        let detected = check.catch_unwind().await.is_err();
        connection.execute_unprepared("ROLLBACK").await.unwrap();
        assert!(detected, "not detected: {wrong}");
    }
    assert_consistent(&history, &connection).await;
}
