//! The binary under load, killed and stopped: what was acknowledged is there, and nothing is half done.

use std::process::Command;

use futures_util::FutureExt;
use sea_orm::{ConnectOptions, ConnectionTrait};
use serde_json::{Value, json};

use crate::harness::{Load, Process, TestDatabase, Told, agrees, kept};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_the_service_has_every_acknowledged_write_and_no_key_without_its_effect() {
    let database = TestDatabase::new().await;
    let told = Told::default();
    for _round in 0..3 {
        let process = Process::start(&database);
        let load = Load::start(&process, &told, 8);
        load.until_acknowledged(150).await;
        assert_eq!(told.count(503), 0, "{}", told.summary());
        load.kill(process).await;
    }
    kept(&told, &Process::start(&database), &database.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_the_service_finishes_and_exits_with_0() {
    for signal in ["-TERM", "-INT"] {
        let database = TestDatabase::new().await;
        let mut process = Process::start(&database);
        let mut client = process.client().await;
        let made = client.send("POST", "/customers", "one", json!({ "name": "x" })).await.unwrap();
        assert_eq!(made.0, 201);
        process.signal(signal);
        let status = tokio::task::spawn_blocking(move || process.child.wait().unwrap()).await.unwrap();
        assert_eq!(status.code(), Some(0));
        if let TestDatabase::Sqlite { directory } = &database {
            let log = directory.path().join("crm.db-wal");
            assert!(!log.exists() || log.metadata().unwrap().len() == 0, "the write-ahead log was not moved");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_start_together_and_healthcheck_tells_their_health() {
    let database = TestDatabase::new().await;
    let processes: Vec<Process> = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..3).map(|_| scope.spawn(|| Process::start(&database))).collect();
        starting.into_iter().map(|start| start.join().unwrap()).collect()
    });
    for process in &processes {
        let port = process.address.rsplit_once(':').unwrap().1;
        let checked = Command::new(env!("CARGO_BIN_EXE_crm"))
            .arg("healthcheck")
            .env_clear()
            .env("CRM_PORT", port)
            .output()
            .unwrap();
        assert!(checked.status.success(), "{checked:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_its_broker_down_the_service_starts_is_healthy_and_writes() {
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
async fn what_is_lost_doubled_or_half_done_is_noticed_by_these_tests() {
    let (database, told) = (TestDatabase::new().await, Told::default());
    let process = Process::start(&database);
    let load = Load::start(&process, &told, 3);
    load.until_acknowledged(12).await;
    load.end().await;
    assert_eq!(process.stop().await, Some(0));
    let mut options = ConnectOptions::new(database.url());
    options.max_connections(1);
    let connection = sea_orm::Database::connect(options).await.unwrap();
    agrees(&told, &connection).await;
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
        let noticed = std::panic::AssertUnwindSafe(agrees(&told, &connection)).catch_unwind().await.is_err();
        connection.execute_unprepared("ROLLBACK").await.unwrap();
        assert!(noticed, "not noticed: {wrong}");
    }
    agrees(&told, &connection).await;
}
