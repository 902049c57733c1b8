//! Heads of requests that are too large, too slow, ambiguous, or none.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

use super::{
    BYSTANDER, LIMIT, MIB, TOO_LARGE, ask, assert_healthy, connect, drip, memory, refused, service, sockets, swarm,
};

/// The replies in what was read to the end of a connection: status, head, body.
fn replies(mut text: &str) -> Vec<(u16, String, Value)> {
    let mut replies = Vec::new();
    while !text.is_empty() {
        let (head, rest) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
        let head = head.to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let (body, rest) = rest.split_at(length.parse().unwrap());
        replies.push((status, head, serde_json::from_str(body).unwrap_or(Value::Null)));
        text = rest;
    }
    replies
}

#[tokio::test]
async fn whatever_is_wrong_with_a_head_gets_the_error_body_and_the_end() {
    let (_database, process) = service(&[]).await;
    let get = |rest: &str| format!("GET /livez HTTP/1.1\r\n{rest}\r\n");
    let large = |size: usize| get(&format!("Host: crm\r\nX-Large: {}\r\n", "x".repeat(size)));
    let url = |size: usize| format!("GET /{} HTTP/1.1\r\nHost: crm\r\n\r\n", "x".repeat(size));
    let many = get(&format!("Host: crm\r\n{}", "X-Many: 1\r\n".repeat(200)));
    let body = |headers: &str| format!("POST /livez HTTP/1.1\r\nHost: crm\r\n{headers}\r\n5\r\nhello\r\n0\r\n\r\n");
    let cases = [
        (431, "HEADERS_TOO_LARGE", large(33_000)),
        (431, "HEADERS_TOO_LARGE", large(70_000)),
        (431, "HEADERS_TOO_LARGE", large(377_000)),
        (431, "HEADERS_TOO_LARGE", many),
        (414, "URI_TOO_LONG", url(17_000)),
        (414, "URI_TOO_LONG", url(65_000)),
        (414, "URI_TOO_LONG", url(200_000)),
        (400, "BAD_REQUEST", get("")),
        (400, "BAD_REQUEST", get("Host: crm\r\nHost: crm\r\n")),
        (400, "BAD_REQUEST", get("Host: a\r\nHost: b\r\n")),
        (400, "BAD_REQUEST", get("Host: a b\r\n")),
        (400, "BAD_REQUEST", get("Host: user@crm\r\n")),
        (400, "BAD_REQUEST", get("Host: crm\r\n folded\r\n")),
        (400, "BAD_REQUEST", get("Host: crm\r\nNo colon\r\n")),
        (400, "BAD_REQUEST", "GARBAGE\r\n\r\n".to_owned()),
        (400, "BAD_REQUEST", "GET /livez HTTP/9.9\r\nHost: crm\r\n\r\n".to_owned()),
        (400, "BAD_REQUEST", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}".repeat(9)),
        (400, "BAD_REQUEST", body("Content-Length: 5\r\nContent-Length: 6\r\n")),
        (400, "BAD_REQUEST", body("Content-Length: +5\r\n")),
        (400, "BAD_REQUEST", body("Transfer-Encoding: chunked, identity\r\n")),
    ];
    for (status, code, request) in cases {
        let shown: String = request.chars().take(80).collect();
        let text = timeout(LIMIT, ask(&process, &request)).await.unwrap_or_else(|_| panic!("{shown:?} hangs"));
        let text = text.unwrap_or_else(|error| panic!("{shown:?}: {error}"));
        let replies = replies(&text);
        let [(given, head, body)] = replies.as_slice() else { panic!("{shown:?}: {text:?}") };
        assert_eq!((*given, body["code"].as_str()), (status, Some(code)), "{shown:?}: {text:?}");
        assert!(status != 431 || body["details"] == TOO_LARGE, "{shown:?}: {body}");
        let id = body["requestId"].as_str().unwrap();
        for header in
            ["content-type: application/json", "x-response-time: ", "connection: close", "traceparent: ", "date: "]
        {
            assert!(head.contains(&format!("\r\n{header}")), "no {header} for {shown:?}: {head}");
        }
        assert!(head.contains(&format!("x-request-id: {id}")), "{shown:?}: {head}");
    }
    assert!(refused(&process, "head_size").await >= 4 && refused(&process, "url_size").await >= 3);
    assert_healthy(&process).await;
}

#[tokio::test]
async fn what_is_allowed_in_a_head_is_served() {
    let (_database, process) = service(&[]).await;
    for request in [
        "GET /livez HTTP/1.0\r\n\r\n".to_owned(),
        "GET /livez HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /livez HTTP/1.1\r\nhost: [::1]:8080\r\nConnection: close\r\n\r\n".to_owned(),
        "GET http://crm/livez HTTP/1.1\r\nHost: crm\r\nConnection: close\r\n\r\n".to_owned(),
        format!("GET /livez?{} HTTP/1.1\r\nHost: crm\r\nConnection: close\r\n\r\n", "x".repeat(16_000)),
        format!("GET /livez HTTP/1.1\r\nHost: crm\r\nX: {}\r\nConnection: close\r\n\r\n", "x".repeat(32_000)),
    ] {
        let shown: String = request.chars().take(80).collect();
        let text = timeout(LIMIT, ask(&process, &request)).await.unwrap_or_else(|_| panic!("{shown:?} hangs")).unwrap();
        assert!(text.starts_with("HTTP/1.") && text.contains(" 200 OK"), "{shown:?}: {text}");
    }
}

#[tokio::test]
async fn no_request_hides_in_the_body_of_another() {
    let (_database, process) = service(&[]).await;
    let hidden = "GET /readyz HTTP/1.1\r\nHost: crm\r\n\r\n";
    // As one reads it, the hidden request is the next one; as the other does, it is a part of the body.
    for headers in [
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 0\r\nContent-Length: 9\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        let request = format!("POST /livez HTTP/1.1\r\nHost: crm\r\n{headers}\r\n0\r\n\r\n{hidden}");
        let text =
            timeout(LIMIT, ask(&process, &request)).await.unwrap_or_else(|_| panic!("{headers:?} hangs")).unwrap();
        let replies = replies(&text);
        assert!(replies.len() == 1 && matches!(replies[0].0, 400 | 405), "{headers:?}: {text}");
        assert!(replies[0].1.contains("connection: close"), "{headers:?}: {text}");
    }
    // Behind a request that is served, garbage is refused, and ends the connection.
    let request = format!("{hidden}{hidden}GARBAGE\r\n\r\n{hidden}");
    let text = timeout(LIMIT, ask(&process, &request)).await.expect("it hangs").unwrap();
    let statuses: Vec<u16> = replies(&text).iter().map(|(status, ..)| *status).collect();
    assert_eq!(statuses, [200, 200, 400], "{text}");
}

#[tokio::test]
async fn a_connection_of_http_2_is_kept_before_its_first_request() {
    let (_database, process) = service(&[("CRM_KEEP_ALIVE", "15s")]).await;
    let mut connection = connect(&process, BYSTANDER).await.unwrap();
    let began = Instant::now();
    connection.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut received = Vec::new();
    timeout(LIMIT, connection.read_to_end(&mut received)).await.expect("it stays open").unwrap();
    assert!(began.elapsed() > Duration::from_secs(14), "it is closed after {:?}", began.elapsed());
    assert_eq!(refused(&process, "head_time").await, 0);
}

#[tokio::test]
async fn a_head_has_ten_seconds_from_its_first_byte_however_it_drips() {
    let (_database, process) = service(&[]).await;
    let first = "GET /livez HTTP/1.1\r\nHost: crm\r\n\r\n";
    // HTTP/2: a header frame without its end, after the preface and the settings.
    let frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\x40\0\x01\0\0\0\0\x01";
    for begins in [b"GET /livez HTTP/1.1\r\nX: ".as_slice(), b"PRI * HTTP/2.0\r\n", frames] {
        let shown = String::from_utf8_lossy(begins);
        let mut connection = connect(&process, BYSTANDER).await.unwrap();
        if begins.starts_with(b"GET") {
            // The time between requests does not count.
            connection.write_all(first.as_bytes()).await.unwrap();
            connection.read_exact(&mut [0; 12]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(2)).await;
            let _rest_of_the_reply = connection.try_read(&mut [0; 4096]);
        }
        let began = Instant::now();
        connection.write_all(begins).await.unwrap();
        let mut received = Vec::new();
        // HTTP/2 greets.
        loop {
            // The preface has no room for it.
            if !begins.ends_with(b"HTTP/2.0\r\n") {
                let _closed = connection.try_write(b"x");
            }
            match timeout(Duration::from_millis(500), connection.read_buf(&mut received)).await {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(_)) => {}
                Err(_) => assert!(began.elapsed() < LIMIT, "{shown:?} stays open"),
            }
        }
        assert!(began.elapsed() > Duration::from_secs(9), "{shown:?} is closed after {:?}", began.elapsed());
        assert!(!String::from_utf8_lossy(&received).contains("HTTP/1.1"), "{shown:?} is answered");
    }
    assert_eq!(refused(&process, "head_time").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_on_5000_sockets_leave_health_and_memory_alone() {
    let count = sockets(5000);
    let (_database, process) = service(&[]).await;
    let before = memory(&process);
    let swarm = swarm(&process, count, "GET /health HTTP/1.1\r\nHost: crm\r\nX-Slow: ").await;
    let began = Instant::now();
    let mut open = swarm.len();
    while open > 0 && began.elapsed() < LIMIT {
        open = drip(&swarm);
        assert_healthy(&process).await;
        let grown = memory(&process).saturating_sub(before);
        assert!(grown < 160 * MIB, "{} MiB more for {count} sockets", grown / MIB);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(open, 0, "{open} sockets are still open after {:?}", began.elapsed());
    assert!(refused(&process, "head_time").await > 0);
}
