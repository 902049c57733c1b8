//! What connections cost, and what remains of a burst.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{
    BYSTANDER, LIMIT, MIB, assert_healthy, connect, drip, memory, metric, refused, service, sockets,
    streams::{client, get},
    swarm, token,
};
use crate::harness::{LARGE_DOCUMENT, within};

const REQUEST: &str = "GET /livez HTTP/1.1\r\nHost: crm\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_costs_at_most_32_kib() {
    let count = sockets(4000);
    let (_database, process) = service(&[("CRM_TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    assert_healthy(&process).await;
    let before = memory(&process);
    let mut idle = swarm(&process, count, REQUEST).await;
    for connection in &mut idle {
        connection.read_exact(&mut [0; 64]).await.unwrap();
    }
    assert_healthy(&process).await;
    let each = memory(&process).saturating_sub(before) / count;
    eprintln!("an idle connection costs {each} bytes");
    assert!(each <= 32 * 1024, "{each} bytes for each of {count} connections");
    assert_eq!(drip(&idle), count, "some were closed");
    assert_eq!(metric(&process, "crm_http_connections").await, u64::try_from(count).unwrap() + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_leaves_no_memory_behind() {
    let count = sockets(3000);
    let (_database, process) = service(&[("CRM_TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    for _ in 0..20 {
        assert_healthy(&process).await;
    }
    let before = memory(&process);
    let burst = swarm(&process, count, &REQUEST.repeat(20)).await;
    let bodies = swarm(&process, sockets(500), &super::bodies::head(&token())).await;
    let mut sender = client(&process, 1024).await;
    let streams: Vec<_> = (0..1500).map(|_| tokio::spawn(sender.send_request(get(LARGE_DOCUMENT)))).collect();
    within(30, "the burst costs something", async || memory(&process) > before + 16 * MIB).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let most = memory(&process);
    streams.iter().for_each(JoinHandle::abort);
    drop((burst, bodies, sender, streams));
    let began = Instant::now();
    while memory(&process) > before + before / 2 {
        let (before, now) = (before / MIB, memory(&process) / MIB);
        assert!(began.elapsed() < Duration::from_secs(60), "{before} MiB, in the burst {}, then {now}", most / MIB);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn connections_of_a_peer_are_limited_unless_it_is_trusted() {
    let (_database, process) =
        service(&[("CRM_CONNECTIONS_PER_PEER", "3"), ("CRM_TRUSTED_PROXIES", "127.0.0.9/32")]).await;
    let mut kept = Vec::new();
    for number in 0..5 {
        let mut connection = connect(&process, 1).await.unwrap();
        let _closed_already = connection.write_all(REQUEST.as_bytes()).await;
        let read = timeout(LIMIT, connection.read(&mut [0; 12])).await.expect("neither served nor closed");
        assert_eq!(read.is_ok_and(|read| read > 0), number < 3, "connection {number}");
        kept.push(connection);
    }
    for _ in 0..5 {
        let mut connection = connect(&process, 9).await.unwrap();
        connection.write_all(REQUEST.as_bytes()).await.unwrap();
        connection.read_exact(&mut [0; 12]).await.unwrap();
        kept.push(connection);
    }
    assert_eq!(refused(&process, "connections_per_peer").await, 2);
    // Whoever closes one may open another.
    drop(kept);
    let mut again = connect(&process, 1).await.unwrap();
    let mut served = false;
    for _ in 0..100 {
        let _closed_already = again.write_all(REQUEST.as_bytes()).await;
        served = again.read(&mut [0; 12]).await.is_ok_and(|read| read > 0);
        if served {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        again = connect(&process, 1).await.unwrap();
    }
    assert!(served, "a place is not given back");
    assert_healthy(&process).await;
    let _other = connect(&process, BYSTANDER).await.unwrap();
}
