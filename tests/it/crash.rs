//! The binary under load, killed and stopped: what was acknowledged is there, and nothing is half done.

use std::{
    collections::HashMap,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

use crate::harness::{Process, TestDatabase, on_postgres};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_the_service_has_every_acknowledged_write_and_no_key_without_its_effect() {
    let database = TestDatabase::new().await;
    let acknowledged = Arc::new(Mutex::new(HashMap::new()));
    let numbers = Arc::new(AtomicU64::new(0));
    for _round in 0..3 {
        let process = Process::start(&database);
        let mut clients = Vec::new();
        for _ in 0..8 {
            let mut client = process.client().await;
            let (acknowledged, numbers) = (Arc::clone(&acknowledged), Arc::clone(&numbers));
            clients.push(tokio::spawn(async move {
                // Until the connection breaks; bounded all the same.
                for _ in 0..5_000 {
                    let request_id = format!("r-{}", numbers.fetch_add(1, Ordering::SeqCst));
                    let body = json!({ "name": request_id });
                    let Some((status, body)) = client.send("POST", "/customers", &request_id, body).await else {
                        return;
                    };
                    assert_eq!(status, 201, "{body}");
                    let id = body["customerId"].as_str().unwrap().to_owned();
                    acknowledged.lock().unwrap().insert(request_id, id);
                }
            }));
        }
        let enough = acknowledged.lock().unwrap().len() + 150;
        for _ in 0..12_000 {
            if acknowledged.lock().unwrap().len() >= enough {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        process.signal("-KILL");
        for client in clients {
            client.await.unwrap();
        }
        assert!(acknowledged.lock().unwrap().len() >= enough, "too little was written to tell");
    }

    let process = Process::start(&database);
    let mut client = process.client().await;
    let acknowledged = acknowledged.lock().unwrap().clone();
    for (request_id, id) in &acknowledged {
        let (status, body) = client.send("GET", &format!("/customers/{id}"), "look", Value::Null).await.unwrap();
        assert_eq!((status, body["name"].as_str()), (200, Some(request_id.as_str())));
        let again = client.send("POST", "/customers", request_id, json!({ "name": request_id })).await.unwrap();
        assert_eq!(again.0, 409);
    }
    let connection = database.connect().await;
    let count = |sql: &'static str| {
        let statement = Statement::from_string(connection.get_database_backend(), sql);
        let connection = &connection;
        async move { connection.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index::<i64>(0).unwrap() }
    };
    let keys = count("SELECT COUNT(*) FROM idempotent").await;
    assert_eq!(count("SELECT COUNT(*) FROM customers").await, keys);
    let pairs =
        "SELECT COUNT(*) FROM customers c JOIN idempotent i ON i.resource_id = c.customer_id AND i.request_id = c.name";
    assert_eq!(count(pairs).await, keys, "a key without its effect, or an effect without its key");
    if !on_postgres() {
        let statement = Statement::from_string(connection.get_database_backend(), "PRAGMA integrity_check");
        let row = connection.query_one_raw(statement).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<String>(0).unwrap(), "ok");
    }
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
