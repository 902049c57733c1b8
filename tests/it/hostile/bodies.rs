//! Bodies that hardly arrive.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

use super::{
    BYSTANDER, LIMIT, MIB, ask, assert_healthy, connect, drip, memory, refused, service, sockets, swarm, token,
};
use crate::harness::Process;

pub(super) fn head(token: &str) -> String {
    format!(
        "POST /customers HTTP/1.1\r\nHost: crm\r\nAuthorization: Bearer {token}\r\nX-Request-ID: slow\r\n\
         Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
    )
}

#[tokio::test]
async fn a_body_that_drips_gets_408_after_thirty_seconds_and_the_end() {
    let (_database, process) = service(&[]).await;
    let mut connection = connect(&process, BYSTANDER).await.unwrap();
    connection.write_all(head(&token()).as_bytes()).await.unwrap();
    let (began, mut received) = (Instant::now(), Vec::new());
    loop {
        let _closed = connection.try_write(b" ");
        match timeout(Duration::from_secs(1), connection.read_buf(&mut received)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(_)) => {}
            Err(_) => assert!(began.elapsed() < LIMIT, "it stays open"),
        }
    }
    let text = String::from_utf8_lossy(&received).to_lowercase();
    assert!(text.starts_with("http/1.1 408") && text.contains("request_timeout"), "{text}");
    assert!(text.contains("connection: close\r\n") && text.contains("x-request-id: slow\r\n"), "{text}");
    assert!(began.elapsed() >= Duration::from_secs(29), "after {:?}", began.elapsed());
    assert_eq!(refused(&process, "body_time").await, 1);
}

/// Others are answered.
async fn assert_served(process: &Process) {
    let token = token();
    let list =
        format!("GET /customers HTTP/1.1\r\nHost: crm\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
    let list = timeout(LIMIT, ask(process, &list)).await.expect("no answer").unwrap();
    assert!(list.starts_with("HTTP/1.1 200"), "{list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_bodies_of_strangers_take_no_places() {
    let (_database, process) = service(&[("CRM_REQUESTS_IN_FLIGHT", "16")]).await;
    for _ in 0..2 {
        // The rest of the body is waited for, for two seconds, before the reply is sent.
        let swarm = swarm(&process, 200, &head("nonsense")).await;
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(1500) {
            assert_served(&process).await;
            assert_healthy(&process).await;
        }
        drop(swarm);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_bodies_on_5000_sockets_leave_health_and_others_alone() {
    let count = sockets(5000);
    // Far fewer than there are bodies on their way.
    let (_database, process) = service(&[("CRM_REQUESTS_IN_FLIGHT", "16")]).await;
    let before = memory(&process);
    let swarm = swarm(&process, count, &head(&token())).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        drip(&swarm);
        assert_healthy(&process).await;
        assert_served(&process).await;
        // At most 100 KiB each: all heads are read at once, and each request waits with what was made of its head.
        let grown = memory(&process).saturating_sub(before);
        assert!(grown < 512 * MIB, "{} MiB more for {count} sockets", grown / MIB);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
