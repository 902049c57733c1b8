//! Connections: idle ones are closed, and cannot use up the file descriptors.

use std::{
    future::{Future, pending},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use crm::{
    http::{
        limits::{Limits, MOST_CONNECTIONS},
        server,
    },
    service::service as endpoint,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::harness::{Client, Process, Service, TestDatabase, within};

/// Only a connection that is never closed or served takes longer.
const LIMIT: Duration = Duration::from_secs(30);

/// A request that need not wait takes less.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Opens connections and sends nothing. The kernel accepts them even if the service does not.
async fn idle(address: &str, count: usize) -> Vec<TcpStream> {
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(TcpStream::connect(address).await.unwrap());
    }
    connections
}

/// Whether the service has not closed it.
fn is_open(connection: &TcpStream) -> bool {
    connection.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Serves on a port of its own, with a short idle timeout.
async fn serve(service: &Service) -> SocketAddr {
    serve_until(service, MOST_CONNECTIONS, pending()).await
}

/// Serves until told to close, as many connections at once.
async fn serve_until(
    service: &Service,
    connections: usize,
    close: impl Future<Output = ()> + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = endpoint(&service.app);
    let short = Duration::from_millis(200);
    let limits = Limits { connections, keep_alive: short, head_time: short, body_size: 1024, ..Limits::default() };
    let (stopping, metrics) = (service.app.stopping().clone(), Arc::clone(service.app.metrics()));
    tokio::spawn(server::serve(listener, endpoint, stopping, close, limits, metrics));
    address
}

#[tokio::test]
async fn an_idle_connection_is_closed_even_in_the_middle_of_a_request() {
    let service = Service::start().await;
    let address = serve(&service).await;
    for (sent, answer) in [
        ("", ""),
        ("GET /health HTTP/1.1\r\nHost: crm\r\nX-Half: ", ""),
        ("GET /health HTTP/1.1\r\nHost: crm\r\n\r\n", "HTTP/1.1 200 OK"),
        ("GARBAGE\r\n\r\n", "HTTP/1.1 400 Bad Request"),
    ] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(sent.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        let end = timeout(LIMIT, connection.read_to_end(&mut received)).await;
        assert!(end.is_ok(), "the connection stays open after {sent:?}");
        assert!(String::from_utf8_lossy(&received).starts_with(answer), "{sent:?}");
    }
}

#[tokio::test]
async fn an_incomplete_body_changes_nothing_and_blocks_no_other_write() {
    let service = Service::start().await;
    let address = serve(&service).await;
    let token = crate::harness::token(json!({}));
    let half = format!(
        "POST /customers HTTP/1.1\r\nHost: crm\r\nAuthorization: Bearer {token}\r\nX-Request-ID: half\r\n\
         Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{{\"name\":"
    );
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(half.as_bytes()).await.unwrap();
    service.customer().await;
    let mut received = Vec::new();
    assert!(timeout(LIMIT, connection.read_to_end(&mut received)).await.is_ok(), "the connection stays open");
    assert_eq!(service.read("/customers").await["total"], 1);
    let again = service.post("/customers", json!({ "name": "x" })).request_id("half").send().await;
    again.expect(201);
}

#[tokio::test]
async fn idle_connections_leave_descriptors_and_places_for_others() {
    let database = TestDatabase::new().await;
    let process = Process::limited("300:300", &database);
    let mut before = process.client().await;
    before.get("/livez").await;
    let idle = idle(&process.address, 400).await;
    // Beyond the limit of connections, one that is idle is closed.
    let mut late = process.client().await;
    let answer = late.get("/livez").await;
    assert!(answer.status == 200 && answer.took < AT_ONCE, "{answer:?}");
    let closed = idle.iter().filter(|idle| !is_open(idle)).count();
    assert!((200..=400).contains(&closed), "{closed} of 400 are closed");

    for write in ["one", "two", "three"] {
        let mut probe = Client::connect(&process.private).await.unwrap();
        for path in ["/livez", "/health"] {
            let answer = probe.get(path).await;
            assert!(answer.status == 200 && answer.took < AT_ONCE, "{path}: {answer:?}");
        }
        let made = before.ask("POST", "/customers", write, &json!({ "name": "x" })).await.unwrap();
        assert!(made.status == 201 && made.took < AT_ONCE, "{made:?}");
        let read = before.get("/customers").await;
        assert!(read.status == 200 && read.took < AT_ONCE, "{read:?}");
    }

    drop(idle);
    let mut next = process.client().await;
    assert_eq!(timeout(LIMIT, next.get("/customers")).await.unwrap().body["total"], 3);
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test]
async fn the_soft_descriptor_limit_is_raised_to_the_hard_one() {
    let database = TestDatabase::new().await;
    let process = Process::limited("160:1000", &database);
    let idle = idle(&process.address, 400).await;
    let answer = process.client().await.get("/customers").await;
    assert!(answer.status == 200 && answer.took < AT_ONCE, "{answer:?}");
    assert!(idle.iter().all(is_open), "more are open than the soft limit allows");
}

#[tokio::test]
async fn connections_that_wait_to_be_accepted_are_answered_before_the_end() {
    let service = Service::start().await;
    let (close, closed) = tokio::sync::oneshot::channel();
    let stopping = service.app.stopping().clone();
    let close_or_end = async move {
        let _closed_or_gone = closed.await;
        stopping.cancel();
    };
    let address = serve_until(&service, 1, close_or_end).await.to_string();
    // The only place is taken for a while, once this is accepted.
    let request = b"GET /livez HTTP/1.1\r\nHost: crm\r\n\r\n";
    let token = crate::harness::token(json!({}));
    let waits = format!("GET /events?wait=2 HTTP/1.1\r\nHost: crm\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut first = TcpStream::connect(&address).await.unwrap();
    first.write_all(waits.as_bytes()).await.unwrap();
    let metrics = service.app.metrics();
    within(30, "the first is accepted", || async { metrics.http.connections.get() == 1 }).await;
    let mut waiting = idle(&address, 20).await;
    for connection in &mut waiting {
        connection.write_all(request).await.unwrap();
    }
    close.send(()).unwrap();
    for mut connection in waiting {
        let mut received = String::new();
        timeout(LIMIT, connection.read_to_string(&mut received)).await.expect("it stays open").unwrap();
        assert!(received.starts_with("HTTP/1.1 200"), "{received:?}");
        assert!(received.contains("connection: close\r\n"), "{received:?}");
    }
}
