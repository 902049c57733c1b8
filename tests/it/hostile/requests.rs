//! Well-formed requests, far too many of them or far too heavy.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{
    LIMIT, MIB, ask, assert_healthy, connect, is_healthy, memory, metric, refused, service, sockets, swarm, token,
};
use crate::harness::{
    Process, SECRET, sign_hs256,
    sql::{new_id, numbers},
    within,
};

/// The customers of the tenant whose last pages are read.
const CUSTOMERS: u32 = 200_000;

fn request(method: &str, path: &str, token: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: crm\r\nAuthorization: Bearer {token}\r\n{headers}\r\n")
}

/// A customer is created: `number` makes its request id.
fn creation(token: &str, number: usize, headers: &str) -> String {
    let body = "{\"name\":\"Acme\"}";
    let length = body.len();
    let headers =
        format!("X-Request-ID: {number}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}");
    request("POST", "/customers", token, &headers) + body
}

/// A token of another tenant than the attacker's.
fn bystander() -> String {
    let claims =
        serde_json::json!({ "exp": 4_000_000_000_u64, "scope": "crm:read crm:write", "tenant_id": "bystander" });
    sign_hs256(&claims, SECRET)
}

/// Another tenant is served.
async fn assert_others_served(process: &Process, number: usize) {
    let token = bystander();
    for sends in [
        creation(&token, number, "Connection: close\r\n"),
        request("GET", "/customers", &token, "Connection: close\r\n"),
    ] {
        let answer = timeout(LIMIT, ask(process, &sends)).await.expect("no answer").unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    }
}

/// Reads what comes until this was found so many times.
async fn read_until(connection: &mut TcpStream, found: &str, times: usize) {
    let mut received = String::new();
    let mut buffer = [0; 16 * 1024];
    while received.matches(found).count() < times {
        let read = timeout(LIMIT, connection.read(&mut buffer)).await.expect("no answer").unwrap();
        assert!(read > 0, "closed after {received}");
        received.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_refusals_leave_health_and_memory_alone() {
    let (_database, process) = service(&[("CRM_TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    assert_healthy(&process).await;
    let before = memory(&process);
    let counted = "crm_auth_refusals_total{reason=\"signature\"}";
    assert_eq!(metric(&process, counted).await, 0);
    let mut attackers = Vec::new();
    for attacker in 0..20 {
        let mut connection = connect(&process, 1).await.unwrap();
        attackers.push(tokio::spawn(async move {
            for batch in 0..20 {
                // Each token is another one.
                let tokens = (0..50).map(|number| {
                    let claims =
                        serde_json::json!({ "exp": 4_000_000_000_u64, "sub": format!("{attacker}-{batch}-{number}") });
                    sign_hs256(&claims, "not the secret of this service at all")
                });
                let requests: String = tokens.map(|token| request("GET", "/customers", &token, "")).collect();
                connection.write_all(requests.as_bytes()).await.unwrap();
                read_until(&mut connection, "HTTP/1.1 401", 50).await;
            }
        }));
    }
    let mut number = 0;
    while !attackers.iter().all(tokio::task::JoinHandle::is_finished) {
        assert_healthy(&process).await;
        assert_others_served(&process, number).await;
        let grown = memory(&process).saturating_sub(before);
        assert!(grown < 100 * MIB, "{} MiB more", grown / MIB);
        number += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for attacker in attackers {
        attacker.await.unwrap();
    }
    assert_eq!(metric(&process, counted).await, 20_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deep_pages_leave_health_and_other_tenants_alone() {
    let (database, process) = service(&[]).await;
    let time = "'2026-01-01 00:00:00.000+00:00'";
    let (numbers, uuid) = (numbers(CUSTOMERS), new_id());
    let filled = format!(
        "INSERT INTO customers (tenant_id, customer_id, name, status, created_at, updated_at, version) \
         SELECT 'default', {uuid}, 'Acme', 0, {time}, {time}, 1 FROM ({numbers}) AS numbers"
    );
    database.connect().await.execute_unprepared(&filled).await.unwrap();
    let before = memory(&process);
    // The deepest page that there is by number.
    let deep = request("GET", "/customers?pageSize=100&page=101", &token(), "");
    // Filling the table kept the service from writing.
    let healthy = Instant::now() + Duration::from_secs(10);
    while Instant::now() < healthy && !is_healthy(&process).await {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let began = Instant::now();
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let deep = deep.clone();
            let address = process.address.clone();
            tokio::spawn(async move {
                let mut connection = TcpStream::connect(address).await.unwrap();
                let mut pages = 0;
                while began.elapsed() < Duration::from_secs(5) {
                    connection.write_all(deep.as_bytes()).await.unwrap();
                    read_until(&mut connection, "\"total\":", 1).await;
                    pages += 1;
                }
                pages
            })
        })
        .collect();
    let mut number = 0;
    while !readers.iter().all(tokio::task::JoinHandle::is_finished) {
        assert_healthy(&process).await;
        assert_others_served(&process, number).await;
        number += 1;
    }
    for reader in readers {
        assert!(reader.await.unwrap() > 0, "a reader got no page");
    }
    let grown = memory(&process).saturating_sub(before);
    assert!(grown < 100 * MIB, "{} MiB more", grown / MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_on_2000_sockets_leave_health_and_others_alone() {
    let count = sockets(2000);
    let (_database, process) = service(&[("CRM_TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let before = memory(&process);
    let waiters = swarm(&process, count, &request("GET", "/events?wait=30", &token(), "")).await;
    within(60, "some are refused, because the tenant has too many", async || {
        refused(&process, "event_waiters").await > 0
    })
    .await;
    for number in 0..5 {
        assert_healthy(&process).await;
        assert_others_served(&process, number).await;
    }
    let grown = memory(&process).saturating_sub(before);
    assert!(grown < 160 * MIB, "{} MiB more for {count} waiters", grown / MIB);
    drop(waiters);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_changes_leaves_health_and_others_alone() {
    let count = sockets(1500);
    let (_database, process) = service(&[("CRM_TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let before = memory(&process);
    let mut flood = Vec::new();
    for number in 0..count {
        let mut connection = connect(&process, 1).await.unwrap();
        connection.write_all(creation(&token(), number, "").as_bytes()).await.unwrap();
        flood.push(connection);
    }
    for number in 0..5 {
        assert_healthy(&process).await;
        assert_others_served(&process, count + number).await;
    }
    // Whoever was not refused is on disk.
    let mut answers = Vec::new();
    for connection in &mut flood {
        let mut status = [0; 12];
        timeout(LIMIT, connection.read_exact(&mut status)).await.expect("no answer").unwrap();
        answers.push(String::from_utf8_lossy(&status).into_owned());
    }
    let created = answers.iter().filter(|answer| answer.ends_with("201")).count();
    assert!(answers.iter().all(|answer| answer.ends_with("201") || answer.ends_with("503")), "{answers:?}");
    assert!(created > 0);
    let list =
        ask(&process, &request("GET", "/customers?pageSize=1", &token(), "Connection: close\r\n")).await.unwrap();
    assert!(list.contains(&format!("\"total\":{created}")), "{created} were created: {list}");
    let grown = memory(&process).saturating_sub(before);
    assert!(grown < 200 * MIB, "{} MiB more", grown / MIB);
}
