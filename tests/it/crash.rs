//! The binary under load, killed and stopped: what was acknowledged is there, and nothing is half done.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Load, Process, TestDatabase, Told, kept};

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
