//! HTTP/2: many streams on one connection, and streams that do not move.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::Instant;

use super::{LIMIT, MIB, TOO_LARGE, ask, assert_healthy, connect, memory, metric, refused, service, token};
use crate::harness::{LARGE_DOCUMENT, Process};

pub(super) type Sender = http2::SendRequest<Empty<Bytes>>;

/// A connection that takes so many bytes of each reply before it has read any.
pub(super) async fn client(process: &Process, window: u32) -> Sender {
    let stream = connect(process, 1).await.unwrap();
    let mut client = http2::Builder::new(TokioExecutor::new());
    client.initial_stream_window_size(window).initial_connection_window_size(1 << 20);
    let (sender, connection) = client.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(super) fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://crm{path}")).body(Empty::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifteen_hundred_streams_that_are_not_read_hold_little_memory() {
    let (_database, process) = service(&[]).await;
    let before = memory(&process);
    let mut sender = client(&process, 1024).await;
    let mut streams = Vec::new();
    for _ in 0..1500 {
        streams.push(tokio::spawn(sender.send_request(get(LARGE_DOCUMENT))));
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
async fn replies_that_nobody_reads_leave_the_places_to_others() {
    let (_database, process) = service(&[("CRM_REQUESTS_IN_FLIGHT", "8")]).await;
    let list = format!(
        "GET /customers HTTP/1.1\r\nHost: crm\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        token()
    );
    // With a token and without one, and without room for a byte of a reply.
    let requests = [(401, "Bearer nonsense".to_owned()), (200, format!("Bearer {}", token()))];
    let (mut senders, mut replies) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let mut sender = client(&process, 0).await;
        for (status, authorization) in requests.iter().cycle().take(16) {
            let mut request = get("/customers");
            request.headers_mut().insert("authorization", authorization.parse().unwrap());
            let reply = sender.send_request(request).await.unwrap();
            assert_eq!(reply.status(), *status);
            replies.push(reply);
        }
        senders.push(sender);
    }
    assert_eq!(metric(&process, "crm_http_requests_in_flight").await, 0);
    for _ in 0..5 {
        let answer = ask(&process, &list).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_healthy(&process).await;
    }
    // Each is given up.
    let began = Instant::now();
    while refused(&process, "reply_time").await < 64 {
        assert!(began.elapsed() < LIMIT, "only {} are given up", refused(&process, "reply_time").await);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_moves_is_not_given_up() {
    let (_database, process) = service(&[]).await;
    let mut sender = client(&process, 100_000).await;
    let mut response = sender.send_request(get(LARGE_DOCUMENT)).await.unwrap();
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
    let mut many = get("/livez");
    for _ in 0..101 {
        many.headers_mut().append("x-many", "1".parse().unwrap());
    }
    let mut twice = get("/livez");
    for host in ["a", "b"] {
        twice.headers_mut().append("host", host.parse().unwrap());
    }
    for (status, code, request) in [
        (431, "HEADERS_TOO_LARGE", large(40_000)),
        (431, "HEADERS_TOO_LARGE", many),
        (414, "URI_TOO_LONG", get(&format!("/{}", "x".repeat(17_000)))),
        (400, "BAD_REQUEST", twice),
    ] {
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status);
        let (id, timed) =
            (response.headers()["x-request-id"].clone(), response.headers().contains_key("x-response-time"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(status != 431 || body["details"] == TOO_LARGE, "{body}");
        assert!(body["code"] == code && body["requestId"] == id.to_str().unwrap() && timed, "{body}");
    }
    // Beyond what h2 reads at all it answers by itself.
    assert_eq!(sender.send_request(large(100_000)).await.unwrap().status(), 431);
    assert_eq!(sender.send_request(get("/livez")).await.unwrap().status(), 200);
}
