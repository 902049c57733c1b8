//! Clients that mean harm, against the service as a process of its own. Whatever they do, `/health` is answered at once on the
//! main port, and memory stays within a bound.

mod bodies;
mod heads;
mod memory;
mod readers;
mod requests;
mod streams;

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};

use crate::harness::{Process, SECRET, TESTED, TestDatabase, sign_hs256, variable};

/// What the service promises for `/health`, a second; times what an unoptimised build and a machine that runs other tests
/// beside it may add, unless a release build is tested (`make hostile`). Without its limits the service would not answer at
/// all.
fn promised() -> Duration {
    Duration::from_secs(if variable(TESTED).is_some() { 1 } else { 10 })
}

/// Only a connection that is never closed or served takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// The requests of a client whose connections are none of the attackers'.
const BYSTANDER: u8 = 200;

/// Why a head gets 431.
const TOO_LARGE: &str = "the head of the request must have at most 100 header lines and 32768 bytes";

/// A mebibyte.
const MIB: usize = 1 << 20;

fn service(variables: &[(&str, &str)]) -> impl Future<Output = (TestDatabase, Process)> {
    let mut all = vec![("CRM_METRICS_ADDR", "127.0.0.1:0"), ("CRM_LOG", "warn,crm=info,crm::http=warn")];
    all.extend(variables);
    async move {
        let database = TestDatabase::new().await;
        let process = Process::with("serve", "serving", &database, &all);
        (database, process)
    }
}

/// A token for this many seconds and more.
fn token() -> String {
    sign_hs256(&json!({ "exp": 4_000_000_000_u64, "scope": "crm:read crm:write" }), SECRET)
}

/// How many sockets this process may have open, and the service has as many: at least so many, or the test is smaller.
fn sockets(wanted: usize) -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    let possible = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(200).min(wanted);
    if possible < wanted {
        eprintln!("only {possible} sockets in place of {wanted}: the limit of file descriptors is {limit}");
    }
    possible
}

/// Connects from 127.0.0.N, because the connections of an address are limited.
async fn connect(process: &Process, from: u8) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, from], 0)))?;
    socket.connect(process.address.parse().unwrap()).await
}

/// Many connections, from as many addresses as they need, each of which sends this at once.
async fn swarm(process: &Process, count: usize, sends: &str) -> Vec<TcpStream> {
    let mut swarm = Vec::with_capacity(count);
    for number in 0..count {
        let Ok(mut connection) = connect(process, 1 + u8::try_from(number / 400).unwrap()).await else { continue };
        let _closed_already = connection.write_all(sends.as_bytes()).await;
        swarm.push(connection);
    }
    swarm
}

/// Sends a byte on each, as slow clients do; returns how many are still open.
fn drip(swarm: &[TcpStream]) -> usize {
    let mut scratch = [0; 4096];
    let open = |connection: &&TcpStream| {
        let _full = connection.try_write(b"x");
        match connection.try_read(&mut scratch) {
            Ok(0) => false,
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    };
    swarm.iter().filter(open).count()
}

/// Asks for `/health` on a new connection to the main port, and fails unless it is answered in time.
async fn assert_healthy(process: &Process) {
    let asked = Instant::now();
    let answer = health(process).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    assert!(asked.elapsed() < promised(), "GET /health took {:?}", asked.elapsed());
}

async fn is_healthy(process: &Process) -> bool {
    health(process).await.starts_with("HTTP/1.1 200")
}

async fn health(process: &Process) -> String {
    let answer = timeout(LIMIT, ask(process, "GET /health HTTP/1.1\r\nHost: crm\r\nConnection: close\r\n\r\n")).await;
    answer.expect("no answer to GET /health").unwrap_or_default()
}

/// Sends this on a new connection, and reads to its end.
async fn ask(process: &Process, sends: &str) -> std::io::Result<String> {
    let mut connection = connect(process, BYSTANDER).await?;
    // The service may refuse before it has read everything.
    let _sent = connection.write_all(sends.as_bytes()).await;
    let mut received = Vec::new();
    connection.read_to_end(&mut received).await?;
    Ok(String::from_utf8_lossy(&received).into_owned())
}

/// The memory of the service in bytes, as the system counts it.
fn memory(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// A metric of the service.
async fn metric(process: &Process, name: &str) -> u64 {
    let mut connection = TcpStream::connect(&process.private).await.unwrap();
    connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: crm\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut received = String::new();
    connection.read_to_string(&mut received).await.unwrap();
    let value = received.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name}"))
}

/// How often this limit was reached.
async fn refused(process: &Process, limit: &str) -> u64 {
    metric(process, &format!("crm_http_refused_total{{limit=\"{limit}\"}}")).await
}
