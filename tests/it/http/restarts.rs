//! Stops and restarts, as clients see them that keep their connections and send nothing twice.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http_body_util::{BodyExt, Empty, Full};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::{http1, http2},
    header::CONNECTION,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{interval, timeout},
};

use crate::harness::{AMPLE, Process, SECRET, TestDatabase, free_port, sign_hs256, within};

/// How often the client asks for the health of each instance.
const POLL: Duration = Duration::from_millis(100);
/// How many requests are sent at once.
pub(super) const WORKERS: usize = 4;

fn token() -> String {
    sign_hs256(&json!({ "exp": 4_000_000_000_u64 }), SECRET)
}

/// An address that requests are sent to while it is healthy.
pub(super) struct Instance {
    pub(super) port: u16,
    pub(super) healthy: AtomicBool,
}

impl Instance {
    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    async fn is_healthy(&self) -> bool {
        let Ok(stream) = TcpStream::connect(self.address()).await else { return false };
        let Ok((mut sender, connection)) = http1::handshake(TokioIo::new(stream)).await else { return false };
        tokio::spawn(connection);
        let request = Request::get("/health").header("Host", "crm").body(Empty::<Bytes>::new()).unwrap();
        sender.send_request(request).await.is_ok_and(|response| response.status() == StatusCode::OK)
    }
}

/// What the requests came to, and the first failures.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) answered: AtomicUsize,
    /// How often a connection was opened.
    opened: AtomicUsize,
    pub(super) failures: Mutex<Vec<String>>,
    pub(super) stop: AtomicBool,
}

type Sender = http1::SendRequest<Full<Bytes>>;

impl Outcome {
    /// Sends one request after the other, each once, over connections that are kept for as long as they are open.
    pub(super) async fn send(self: Arc<Self>, worker: usize, instances: Arc<[Instance; 2]>) {
        let (token, mut kept) = (token(), BTreeMap::<u16, Sender>::new());
        for number in 0.. {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let healthy = |instance: &&Instance| instance.healthy.load(Ordering::SeqCst);
            // In turn, where both are healthy.
            let first = number % 2;
            let order = [&instances[first], &instances[1 - first]];
            let Some(instance) = order.into_iter().find(healthy) else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            match self.request(&mut kept, instance, &token, &format!("w{worker}-{number}")).await {
                Ok(()) => _ = self.answered.fetch_add(1, Ordering::SeqCst),
                Err(error) => self.failures.lock().unwrap().push(format!("w{worker}-{number}: {error}")),
            }
        }
    }

    async fn request(
        &self,
        kept: &mut BTreeMap<u16, Sender>,
        instance: &Instance,
        token: &str,
        id: &str,
    ) -> Result<(), String> {
        if kept.get(&instance.port).is_none_or(|sender| !sender.is_ready()) {
            let stream = TcpStream::connect(instance.address()).await.map_err(|error| format!("connect: {error}"))?;
            stream.set_nodelay(true).unwrap();
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender.ready().await.map_err(|error| format!("a new connection: {error}"))?;
            kept.insert(instance.port, sender);
            self.opened.fetch_add(1, Ordering::SeqCst);
        }
        let sender = kept.get_mut(&instance.port).unwrap();
        // A write, a read, and a write that is refused before its body is read.
        let (method, path, expected, body) = match id.as_bytes().last().unwrap() % 3 {
            0 => ("POST", "/customers", 201, json!({ "name": id }).to_string()),
            1 => ("GET", "/customers?pageSize=1", 200, String::new()),
            _ => ("PUT", "/customers", 405, "x".repeat(2000)),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", "crm")
            .header("Authorization", format!("Bearer {token}"))
            .header("X-Request-ID", id)
            .header("Content-Type", "application/json")
            .body(Full::from(body))
            .unwrap();
        let response = sender.send_request(request).await.map_err(|error| format!("{method}: {error:?}"))?;
        let (head, body) = response.into_parts();
        body.collect().await.map_err(|error| format!("{method}: the reply is cut off: {error}"))?;
        if head.headers.get(CONNECTION).is_some_and(|value| value == "close") {
            kept.remove(&instance.port);
        } else {
            let ready = timeout(AMPLE, kept.get_mut(&instance.port).unwrap().ready()).await.unwrap();
            ready.map_err(|error| format!("{method}: closed without saying so: {error}"))?;
        }
        if head.status == expected { Ok(()) } else { Err(format!("{method}: answered {}", head.status)) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_rolling_restarts_fail_no_request() {
    let database = Arc::new(TestDatabase::new().await);
    let instances = Arc::new([free_port(), free_port()].map(|port| Instance { port, healthy: AtomicBool::new(false) }));
    let start = async |number: usize| {
        let (database, port) = (Arc::clone(&database), instances[number].port.to_string());
        let variables =
            move || Process::with("serve", "serving", &database, &[("CRM_PORT", &port), ("CRM_LAME_DUCK", "1s")]);
        Some(tokio::task::spawn_blocking(variables).await.unwrap())
    };
    let mut processes = [start(0).await, start(1).await];
    let polled = Arc::clone(&instances);
    let poller = tokio::spawn(async move {
        let mut clock = interval(POLL);
        loop {
            clock.tick().await;
            for instance in &*polled {
                instance.healthy.store(instance.is_healthy().await, Ordering::SeqCst);
            }
        }
    });
    let healthy = async |number: usize| {
        within(60, "healthy", async || instances[number].healthy.load(Ordering::SeqCst)).await;
    };
    healthy(0).await;
    healthy(1).await;
    let outcome = Arc::new(Outcome::default());
    let workers: Vec<_> =
        (0..WORKERS).map(|worker| tokio::spawn(Arc::clone(&outcome).send(worker, Arc::clone(&instances)))).collect();
    for round in 0..10 {
        let number = round % 2;
        assert_eq!(processes[number].take().unwrap().stop().await, Some(0));
        processes[number] = start(number).await;
        healthy(number).await;
        // Requests reach it before the other one is stopped.
        let before = outcome.answered.load(Ordering::SeqCst);
        within(60, "requests", async || outcome.answered.load(Ordering::SeqCst) >= before + 100).await;
    }
    outcome.stop.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.unwrap();
    }
    poller.abort();
    let (answered, opened) = (outcome.answered.load(Ordering::SeqCst), outcome.opened.load(Ordering::SeqCst));
    let failures = outcome.failures.lock().unwrap();
    assert!(failures.is_empty(), "{} of {answered} failed: {:#?}", failures.len(), &failures[..failures.len().min(20)]);
    assert!(answered >= 2000, "only {answered} requests");
    // While it stops, an instance ends a connection with each reply.
    assert!(opened * 5 < answered, "{opened} connections for {answered} requests: they are not kept");
}

/// What a connection carries until it ends, in order or not.
async fn rest_of(mut connection: TcpStream) -> String {
    let mut received = Vec::new();
    let end = timeout(AMPLE, connection.read_to_end(&mut received)).await.expect("the connection stays open");
    let received = String::from_utf8(received).unwrap();
    assert!(end.is_ok(), "{end:?} after {received:?}");
    received.to_lowercase()
}

fn assert_last_reply(received: &str, status: &str) {
    assert!(received.starts_with(&format!("http/1.1 {status}")), "{received:?}");
    assert!(received.contains("connection: close\r\n"), "{received:?}");
}

const REQUEST: &str = "GET /livez HTTP/1.1\r\nHost: crm\r\n\r\n";

/// A connection over which a request was answered.
async fn kept(address: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.set_nodelay(true).unwrap();
    connection.write_all(REQUEST.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    while !received.ends_with(b"}") {
        received.push(timeout(AMPLE, connection.read_u8()).await.unwrap().unwrap());
    }
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_crosses_the_stop_signal_is_answered() {
    let database = TestDatabase::new().await;
    for signal_first in [false, true] {
        let process = Process::start(&database);
        let (mut connections, mut halves) = (Vec::new(), Vec::new());
        for _ in 0..40 {
            connections.push(kept(&process.address).await);
            connections.push(TcpStream::connect(&process.address).await.unwrap());
        }
        let (half, other_half) = REQUEST.split_at(20);
        for mut connection in [kept(&process.address).await, TcpStream::connect(&process.address).await.unwrap()] {
            connection.write_all(half.as_bytes()).await.unwrap();
            halves.push(connection);
        }
        let idle = [kept(&process.address).await, TcpStream::connect(&process.address).await.unwrap()];
        if signal_first {
            process.signal("-TERM");
        }
        for connection in &mut connections {
            connection.write_all(REQUEST.as_bytes()).await.unwrap();
        }
        if !signal_first {
            process.signal("-TERM");
        }
        for connection in connections {
            let received = rest_of(connection).await;
            assert!(received.starts_with("http/1.1 200"), "{received:?}");
        }
        // Those that have sent nothing are closed; the service is closing by now, but not done.
        for connection in idle {
            assert_eq!(rest_of(connection).await, "");
        }
        for mut connection in halves {
            connection.write_all(other_half.as_bytes()).await.unwrap();
            assert_last_reply(&rest_of(connection).await, "200");
        }
        assert_eq!(process.stop().await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lame_duck_answers_what_comes_and_ends_each_connection_with_it() {
    let database = TestDatabase::new().await;
    let process = Process::with("serve", "serving", &database, &[("CRM_LAME_DUCK", "1m")]);
    let (before, silent) = (kept(&process.address).await, kept(&process.address).await);
    process.signal("-TERM");
    let health = || async {
        let mut connection = TcpStream::connect(&process.address).await.unwrap();
        connection.write_all(b"GET /health HTTP/1.1\r\nHost: crm\r\n\r\n").await.unwrap();
        let mut status = [0; 12];
        connection.read_exact(&mut status).await.unwrap();
        status == *b"HTTP/1.1 503"
    };
    within(60, "no longer healthy", async || health().await).await;
    for mut connection in [before, TcpStream::connect(&process.address).await.unwrap()] {
        let (token, id) = (token(), connection.local_addr().unwrap().port());
        let head =
            format!("POST /customers HTTP/1.1\r\nHost: crm\r\nAuthorization: Bearer {token}\r\nX-Request-ID: {id}\r\n");
        let body = "Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"name\":\"x\"}";
        connection.write_all((head + body).as_bytes()).await.unwrap();
        assert_last_reply(&rest_of(connection).await, "201");
    }
    for (path, status) in
        [("/customers", "401"), ("/livez", "200"), ("/readyz", "503"), ("/nowhere", "404"), ("/docs", "200")]
    {
        let mut connection = TcpStream::connect(&process.address).await.unwrap();
        connection.write_all(format!("GET {path} HTTP/1.1\r\nHost: crm\r\n\r\n").as_bytes()).await.unwrap();
        assert_last_reply(&rest_of(connection).await, status);
    }
    // The second signal ends the lame duck, and with it the connections that nobody uses.
    process.signal("-TERM");
    assert_eq!(rest_of(silent).await, "");
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_connections_are_told_to_go_away_and_lose_no_request() {
    let database = TestDatabase::new().await;
    let process = Process::start(&database);
    let stream = TcpStream::connect(&process.address).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut get = |path: &str| {
        let request = Request::get(format!("http://crm{path}")).header("Authorization", format!("Bearer {}", token()));
        sender.send_request(request.body(Empty::<Bytes>::new()).unwrap())
    };
    assert_eq!(get("/livez").await.unwrap().status(), StatusCode::OK);
    let waiting = get("/events?wait=30");
    // Once this is answered, the request before it is being answered.
    assert_eq!(get("/livez").await.unwrap().status(), StatusCode::OK);
    process.signal("-TERM");
    let answer = timeout(AMPLE, waiting).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!answer.headers().contains_key(CONNECTION));
    answer.into_body().collect().await.unwrap();
    timeout(AMPLE, connection).await.expect("the connection stays open").unwrap().expect("it does not end in order");
    assert_eq!(process.stop().await, Some(0));
}
