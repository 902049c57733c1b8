//! Connections: silence ends them, whatever they left unsaid.

use std::{future::pending, net::SocketAddr, time::Duration};

use crm::http;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::harness::Service;

/// Longer than anything here takes; only a connection that is never closed meets it.
const FOR_EVER: Duration = Duration::from_secs(30);

/// Serves on a port of its own until the test ends, with little patience for silence.
async fn listen(service: &Service) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = http::service(&service.app);
    tokio::spawn(http::server::serve(listener, endpoint, pending(), Duration::from_millis(200)));
    address
}

#[tokio::test]
async fn a_silent_connection_is_closed_also_in_the_middle_of_a_request() {
    let service = Service::start().await;
    let address = listen(&service).await;
    for (said, answer) in [
        ("", ""),
        ("GET /health HTTP/1.1\r\nHost: crm\r\nX-Half: ", ""),
        ("GET /health HTTP/1.1\r\nHost: crm\r\n\r\n", "HTTP/1.1 200 OK"),
        ("GARBAGE\r\n\r\n", "HTTP/1.1 400 Bad Request"),
    ] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(said.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        let end = timeout(FOR_EVER, connection.read_to_end(&mut heard)).await;
        assert!(end.is_ok(), "the connection stays open after {said:?}");
        assert!(String::from_utf8_lossy(&heard).starts_with(answer), "{said:?}");
    }
}

#[tokio::test]
async fn a_body_that_never_comes_whole_changes_nothing_and_does_not_block_the_door() {
    let service = Service::start().await;
    let address = listen(&service).await;
    let token = crate::harness::token(serde_json::json!({}));
    let half = format!(
        "POST /customers HTTP/1.1\r\nHost: crm\r\nAuthorization: Bearer {token}\r\nX-Request-ID: half\r\n\
         Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{{\"name\":"
    );
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(half.as_bytes()).await.unwrap();
    service.customer().await;
    let mut heard = Vec::new();
    assert!(timeout(FOR_EVER, connection.read_to_end(&mut heard)).await.is_ok(), "the connection stays open");
    assert_eq!(service.read("/customers").await["total"], 1);
    let again = service.post("/customers", serde_json::json!({ "name": "x" })).request_id("half").send().await;
    again.expect(201);
}
