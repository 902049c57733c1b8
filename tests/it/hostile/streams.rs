//! HTTP/2: many streams on one connection, and streams that do not move.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::Instant;

use super::{LIMIT, MIB, assert_healthy, connect, memory, refused, service};
use crate::harness::Process;

type Sender = http2::SendRequest<Empty<Bytes>>;

/// A connection that takes so many bytes of each reply before it has read any.
async fn client(process: &Process, window: u32) -> Sender {
    let stream = connect(process, 1).await.unwrap();
    let mut client = http2::Builder::new(TokioExecutor::new());
    client.initial_stream_window_size(window).initial_connection_window_size(1 << 20);
    let (sender, connection) = client.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://crm{path}")).body(Empty::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifteen_hundred_streams_that_are_not_read_hold_little_memory() {
    let (_database, process) = service(&[]).await;
    let before = memory(&process);
    let mut sender = client(&process, 1024).await;
    let mut streams = Vec::new();
    for _ in 0..1500 {
        streams.push(tokio::spawn(sender.send_request(get("/docs"))));
    }
    let began = Instant::now();
    // At most 64 streams are open at once, and each is given up after ten seconds.
    while refused(&process, "reply_time").await < 100 {
        assert!(began.elapsed() < LIMIT, "only {} are given up", refused(&process, "reply_time").await);
        assert_healthy(&process).await;
        let grown = memory(&process).saturating_sub(before);
        assert!(grown < 160 * MIB, "{} MiB more for one connection", grown / MIB);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // The connection itself goes on.
    drop(streams);
    assert_eq!(sender.send_request(get("/livez")).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_moves_is_not_given_up() {
    let (_database, process) = service(&[]).await;
    let mut sender = client(&process, 100_000).await;
    let mut response = sender.send_request(get("/docs")).await.unwrap();
    let (began, mut total) = (Instant::now(), 0);
    while let Some(frame) = response.frame().await {
        total += frame.unwrap().into_data().map_or(0, |data| data.len());
        if began.elapsed() < Duration::from_secs(15) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    assert!(total > 500_000, "{total} bytes");
    assert_eq!(refused(&process, "reply_time").await, 0);
}

#[tokio::test]
async fn http_2_heads_are_judged_like_those_of_http_1() {
    let (_database, process) = service(&[]).await;
    let mut sender = client(&process, 100_000).await;
    let large = |size: usize| {
        let mut request = get("/livez");
        for line in 0..size / 1000 {
            request.headers_mut().insert(
                hyper::header::HeaderName::try_from(format!("x-{line}")).unwrap(),
                "x".repeat(1000).parse().unwrap(),
            );
        }
        request
    };
    let mut twice = get("/livez");
    for host in ["a", "b"] {
        twice.headers_mut().append("host", host.parse().unwrap());
    }
    for (status, code, request) in [
        (431, "HEADERS_TOO_LARGE", large(40_000)),
        (414, "URI_TOO_LONG", get(&format!("/{}", "x".repeat(17_000)))),
        (400, "BAD_REQUEST", twice),
    ] {
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status);
        let (id, timed) =
            (response.headers()["x-request-id"].clone(), response.headers().contains_key("x-response-time"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(body["code"] == code && body["requestId"] == id.to_str().unwrap() && timed, "{body}");
    }
    // Beyond what h2 reads at all it answers by itself.
    assert_eq!(sender.send_request(large(100_000)).await.unwrap().status(), 431);
    assert_eq!(sender.send_request(get("/livez")).await.unwrap().status(), 200);
}
