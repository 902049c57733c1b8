//! What becomes of a connection after a request that was refused before its body was read.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{Process, SECRET, TestDatabase, sign_hs256};

/// Only a connection that is never closed or served takes longer.
const LIMIT: Duration = Duration::from_secs(30);
/// The time from the head of a request to its body: long enough for the refusal of the head alone.
const PAUSE: Duration = Duration::from_millis(20);
/// The service's limit of bodies.
const BODY_LIMIT: usize = 4096;

/// How a body is framed.
#[derive(Debug, Clone, Copy)]
enum Framing {
    ContentLength,
    Chunked,
    /// `Content-Length`, sent although the client asked whether to and was told nothing.
    ExpectContinue,
}

const FRAMINGS: [Framing; 3] = [Framing::ContentLength, Framing::Chunked, Framing::ExpectContinue];

impl Framing {
    fn headers(self, body: &[u8]) -> String {
        match self {
            Self::ContentLength => format!("Content-Length: {}\r\n", body.len()),
            Self::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
            Self::ExpectContinue => format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len()),
        }
    }

    fn body(self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Chunked => [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n".as_slice()].concat(),
            Self::ContentLength | Self::ExpectContinue => body.to_vec(),
        }
    }
}

/// A reply, and whether it says that the connection ends with it.
#[derive(Debug)]
struct RawReply {
    status: u16,
    closes: bool,
}

/// Reads one reply; interim ones are skipped.
async fn reply(connection: &mut TcpStream) -> Result<RawReply, String> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(LIMIT, connection.read_u8()).await.map_err(|_| "no reply".to_owned())?;
            head.push(byte.map_err(|error| format!("{error} after {:?}", String::from_utf8_lossy(&head)))?);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        if status == 100 {
            continue;
        }
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
        connection.read_exact(&mut body).await.map_err(|error| format!("the reply is cut off: {error}"))?;
        return Ok(RawReply { status, closes: header("connection") == Some("close") });
    }
}

/// What keeps the promise: the next request is answered, or the reply said that there can be none and the end is clean.
async fn next_request(connection: &mut TcpStream, reply_before: &RawReply) -> Result<(), String> {
    if reply_before.closes {
        let mut rest = Vec::new();
        let end = timeout(LIMIT, connection.read_to_end(&mut rest)).await.map_err(|_| "it stays open".to_owned())?;
        return end.map_err(|error| format!("it does not end in order: {error}")).map(drop);
    }
    connection.write_all(b"GET /livez HTTP/1.1\r\nHost: crm\r\n\r\n").await.map_err(|error| error.to_string())?;
    let next = reply(connection).await?;
    if next.status == 200 { Ok(()) } else { Err(format!("the next request is answered {}", next.status)) }
}

/// Requests that are answered whatever their body, or before it is read: the status, method, path and headers.
fn refused() -> Vec<(u16, &'static str, &'static str, String)> {
    let token = |scope: &str| {
        let claims = json!({ "exp": 4_000_000_000_u64, "tenant_id": "default", "scope": scope });
        format!("Authorization: Bearer {}\r\n", sign_hs256(&claims, SECRET))
    };
    let (json, id) = ("Content-Type: application/json\r\n", "X-Request-ID: r\r\n");
    let writer = token("crm:read crm:write");
    vec![
        (401, "POST", "/customers", format!("{json}{id}")),
        (401, "PATCH", "/customers/x", format!("Authorization: Bearer nonsense\r\n{json}{id}")),
        (403, "POST", "/customers", format!("{}{json}{id}", token("crm:read"))),
        (403, "POST", "/customers", format!("{writer}X-Tenant-Id: other\r\n{json}{id}")),
        (400, "POST", "/customers", format!("{writer}X-Tenant-Id: a b\r\n{json}{id}")),
        (400, "POST", "/customers", format!("{writer}{json}")),
        (400, "POST", "/customers", format!("{writer}{json}{id}")),
        (415, "POST", "/customers", format!("{writer}Content-Type: text/plain\r\n{id}")),
        (415, "POST", "/customers", format!("{writer}{id}")),
        (404, "POST", "/nowhere", format!("{json}{id}")),
        (404, "DELETE", "/customers/x", writer.clone()),
        (405, "PUT", "/customers", format!("{writer}{json}{id}")),
        (200, "GET", "/customers", writer),
        (200, "GET", "/livez", String::new()),
    ]
}

/// Sends the head, then the body, and returns the reply and what becomes of the next request.
async fn send(address: &str, head: &str, body: &[u8]) -> Result<RawReply, String> {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.set_nodelay(true).unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(PAUSE).await;
    // The service may close the connection before; whether the reply can still be read is what counts.
    let _sent = connection.write_all(body).await;
    let reply = reply(&mut connection).await?;
    next_request(&mut connection, &reply).await.map(|()| reply)
}

fn service(database: &TestDatabase) -> Process {
    let limit = BODY_LIMIT.to_string();
    let variables = [("CRM_BODY_LIMIT", limit.as_str()), ("CRM_METRICS_ADDR", "127.0.0.1:0")];
    Process::with("serve", "serving", database, &variables)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_refusal_the_connection_is_usable_or_said_to_be_closed() {
    let database = TestDatabase::new().await;
    let process = Arc::new(service(&database));
    let mut wrong = Vec::new();
    for (status, method, path, headers) in refused() {
        for framing in FRAMINGS {
            for size in [2, BODY_LIMIT, BODY_LIMIT + 1, 1_000_000] {
                let body = vec![b'['; size];
                let head = format!("{method} {path} HTTP/1.1\r\nHost: crm\r\n{headers}{}\r\n", framing.headers(&body));
                let case = format!("{status} {method} {path}, {framing:?} of {size} bytes");
                match send(&process.address, &head, &framing.body(&body)).await {
                    // A body that would have been read is refused for its size first.
                    Ok(reply) if reply.status == 413 && size > BODY_LIMIT && status == 400 => {}
                    Ok(reply) if reply.status != status => wrong.push(format!("{case}: answered {}", reply.status)),
                    // What fits is read to its end, unless the client waits to be asked for it.
                    Ok(reply) if size <= BODY_LIMIT && reply.closes && !matches!(framing, Framing::ExpectContinue) => {
                        wrong.push(format!("{case}: closed"));
                    }
                    Ok(_) => {}
                    Err(error) => wrong.push(format!("{case}: {error}")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_refusal_the_private_listener_keeps_its_connections_too() {
    let database = TestDatabase::new().await;
    let process = service(&database);
    for (status, path) in [(404, "/customers"), (405, "/health"), (405, "/livez")] {
        for framing in FRAMINGS {
            for size in [2, BODY_LIMIT, 1_000_000] {
                let body = vec![b'x'; size];
                let head = format!("POST {path} HTTP/1.1\r\nHost: crm\r\n{}\r\n", framing.headers(&body));
                let reply = send(&process.private, &head, &framing.body(&body)).await;
                let reply = reply.unwrap_or_else(|error| panic!("{path}, {framing:?} of {size} bytes: {error}"));
                assert_eq!(reply.status, status, "{path}, {framing:?} of {size} bytes");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_100_continue_is_refused_without_it() {
    let database = TestDatabase::new().await;
    let process = service(&database);
    let mut connection = TcpStream::connect(&process.address).await.unwrap();
    let head = "POST /customers HTTP/1.1\r\nHost: crm\r\nContent-Length: 20\r\nExpect: 100-continue\r\n\r\n";
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut received = String::new();
    timeout(LIMIT, connection.read_to_string(&mut received)).await.expect("it stays open").unwrap();
    assert!(received.starts_with("HTTP/1.1 401"), "{received}");
    assert!(received.to_lowercase().contains("connection: close\r\n"), "{received}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_whose_framing_is_broken_ends_the_connection_in_order() {
    let database = TestDatabase::new().await;
    let process = service(&database);
    for (status, method, path, headers) in refused().into_iter().filter(|(_, method, ..)| *method == "POST") {
        for body in ["zz\r\n", "2\r\n{}\r\nzz\r\n", "2\r\n{}zz"] {
            let head = format!("{method} {path} HTTP/1.1\r\nHost: crm\r\n{headers}Transfer-Encoding: chunked\r\n\r\n");
            let reply = send(&process.address, &head, body.as_bytes()).await;
            let reply = reply.unwrap_or_else(|error| panic!("{path} {headers} {body:?}: {error}"));
            assert_eq!((reply.status, reply.closes), (status, true), "{path} {headers} {body:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_body_that_never_comes_is_not_waited_for_without_end() {
    let database = TestDatabase::new().await;
    let process = service(&database);
    for framing in ["Content-Length: 20", "Transfer-Encoding: chunked"] {
        let mut connection = TcpStream::connect(&process.address).await.unwrap();
        let head = format!("POST /customers HTTP/1.1\r\nHost: crm\r\n{framing}\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        let reply = reply(&mut connection).await.unwrap();
        assert!(reply.status == 401 && reply.closes, "{framing}: {reply:?}");
        next_request(&mut connection, &reply).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_refusals_in_a_row_leave_one_connection_open() {
    let database = TestDatabase::new().await;
    let process = service(&database);
    let mut connection = TcpStream::connect(&process.address).await.unwrap();
    connection.set_nodelay(true).unwrap();
    let refused = refused();
    let body = vec![b'['; BODY_LIMIT];
    for number in 0..1000 {
        let (status, method, path, headers) = &refused[number % refused.len()];
        let framing = [Framing::ContentLength, Framing::Chunked][number % 2];
        let head = format!("{method} {path} HTTP/1.1\r\nHost: crm\r\n{headers}{}\r\n", framing.headers(&body));
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(&framing.body(&body)).await.unwrap();
        let reply = reply(&mut connection).await.unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!((reply.status, reply.closes), (*status, false), "{number}: {method} {path}");
    }
}
