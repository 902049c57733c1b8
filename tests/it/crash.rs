//! The binary under load, killed and stopped: what was acknowledged is there, and nothing is half done.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::harness::{PII_KEYS, SECRET, TestDatabase, on_postgres, sign_hs256};

/// A process of the service.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    /// Starts the binary and waits until it says where it listens.
    fn start(database: &TestDatabase) -> Self {
        let variables =
            [("CRM_PORT", "0"), ("CRM_JWT_SECRET", SECRET), ("CRM_PII_KEYS", PII_KEYS), ("CRM_LOG_FORMAT", "json")];
        let mut child = Command::new(env!("CARGO_BIN_EXE_crm"))
            .env_clear()
            .envs(variables)
            .env("CRM_DATABASE_URL", database.url())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the service ended before it listened");
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["message"] == "serving" {
                break event["address"].as_str().unwrap().to_owned();
            }
        };
        // The rest of the log must be read, or the service would wait for room in the pipe.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, address }
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    async fn client(&self) -> Client {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let token = sign_hs256(&json!({ "exp": 4_000_000_000_u64 }), SECRET);
        Client { sender, token }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A connection to the service.
struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
    token: String,
}

impl Client {
    /// The status and the body, or `None` where the connection broke.
    async fn send(&mut self, method: &str, path: &str, request_id: &str, body: Value) -> Option<(u16, Value)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", "crm")
            .header("Authorization", format!("Bearer {}", self.token))
            .header("X-Request-ID", request_id)
            .header("Content-Type", "application/json")
            .body(if body.is_null() { Full::default() } else { Full::from(body.to_string()) })
            .unwrap();
        self.sender.ready().await.ok()?;
        let response = self.sender.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.ok()?.to_bytes();
        Some((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }
}

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
