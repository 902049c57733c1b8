//! Clients that ask and do not read.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::Instant,
};

use super::{LIMIT, MIB, ask, assert_healthy, memory, refused, service, token};
use crate::harness::{LARGE_DOCUMENT, Process, within};

/// A connection for which the system buffers little.
async fn small(process: &Process) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    socket.connect(process.address.parse().unwrap()).await.unwrap()
}

/// Sixty connections ask for this many times over and read nothing: each is closed, and memory stays within a bound.
async fn assert_closed(process: &Process, request: &str, times: usize) {
    let before = memory(process);
    let mut readers = Vec::new();
    for _ in 0..60 {
        let mut reader = small(process).await;
        reader.write_all(request.repeat(times).as_bytes()).await.unwrap();
        readers.push(reader);
    }
    let began = Instant::now();
    loop {
        assert_healthy(process).await;
        let grown = memory(process).saturating_sub(before);
        assert!(grown < 200 * MIB, "{} MiB more for 60 connections", grown / MIB);
        let closed = refused(process, "reply_time").await;
        if closed == 60 {
            return;
        }
        assert!(began.elapsed() < LIMIT, "only {closed} are closed");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_readers_of_the_feed_that_do_not_read_are_closed() {
    let (_database, process) = service(&[]).await;
    let token = token();
    // A page of 1 MiB.
    let content = "跟".repeat(10_000);
    for number in 0..40 {
        let body = json!({ "content": content }).to_string();
        let head = format!(
            "POST /follow-ups HTTP/1.1\r\nHost: crm\r\nAuthorization: Bearer {token}\r\nX-Request-ID: {number}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let created = ask(&process, &(head + &body)).await.unwrap();
        assert!(created.starts_with("HTTP/1.1 201"), "{created}");
    }
    let request = format!("GET /events HTTP/1.1\r\nHost: crm\r\nAuthorization: Bearer {token}\r\n\r\n");
    within(30, "the feed has a page", async || {
        let page = ask(&process, &request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await.unwrap();
        page.len() > 900_000
    })
    .await;
    // What the system buffers is a few of them.
    assert_closed(&process, &request, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_readers_that_do_not_read_are_closed() {
    let (_database, process) = service(&[]).await;
    // The largest reply that there is: what the system buffers is soon full.
    let request = format!("GET {LARGE_DOCUMENT} HTTP/1.1\r\nHost: crm\r\n\r\n");
    assert_closed(&process, &request, 30).await;
    // A reader who reads slowly is no such reader.
    let mut slow = small(&process).await;
    slow.write_all(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut received = vec![0; 4096];
    let mut total = 0;
    for _ in 0..24 {
        total += slow.read(&mut received).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let rest = slow.read_to_end(&mut received).await.unwrap();
    assert!(total + rest > 200_000, "{total} and {rest} bytes");
}
