//! The binary, run to its end, or as long as a test needs it.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{PII_KEYS, SECRET, TestDatabase, sign_hs256};

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    /// Standard error: the log, and what an operator is told.
    pub err: String,
}

/// Runs the binary with an empty environment but for these variables.
pub fn crm(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_crm"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs `crm serve` and asks it to stop as soon as it serves: it ends with 0 if it could start.
pub fn served(variables: &[(&str, &str)]) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_crm"))
        .arg("serve")
        .env_clear()
        .envs([("CRM_PORT", "0"), ("CRM_METRICS_ADDR", "off"), ("CRM_JWT_SECRET", SECRET)])
        .envs(variables.iter().copied())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut err = String::new();
    while log.read_line(&mut err).unwrap() > 0 {
        if err.lines().last().is_some_and(|line| line.contains("\"serving\"")) {
            let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
            assert!(asked.success());
            break;
        }
    }
    log.read_to_string(&mut err).unwrap();
    Ended { code: child.wait().unwrap().code(), out: String::new(), err }
}

/// A process of the service.
pub struct Process {
    pub child: Child,
    /// Where it listens; empty of one that does not.
    pub address: String,
    /// Where its probes and metrics are, if `CRM_METRICS_ADDR` is set.
    pub private: String,
}

impl Process {
    /// Starts the service and waits until it says where it listens.
    pub fn start(database: &TestDatabase) -> Self {
        Self::with("serve", "serving", database, &[])
    }

    /// Starts a command and waits until it says that it works.
    pub fn with(command: &str, works: &str, database: &TestDatabase, more: &[(&str, &str)]) -> Self {
        let variables = [
            ("CRM_PORT", "0"),
            ("CRM_METRICS_ADDR", "off"),
            ("CRM_JWT_SECRET", SECRET),
            ("CRM_PII_KEYS", PII_KEYS),
            ("CRM_LOG_FORMAT", "json"),
        ];
        let mut child = Command::new(env!("CARGO_BIN_EXE_crm"))
            .arg(command)
            .env_clear()
            .envs(variables)
            .envs(more.iter().copied())
            .env("CRM_DATABASE_URL", database.url())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let (mut line, mut private) = (String::new(), String::new());
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "it ended before it worked");
            let event: Value = serde_json::from_str(&line).unwrap();
            let address = event["address"].as_str().unwrap_or_default().to_owned();
            if event["message"] == works {
                break address;
            }
            if event["message"] == "probes and metrics" {
                private = address;
            }
        };
        // The rest of the log must be read, or the service would wait for room in the pipe.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, address, private }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub async fn client(&self) -> Client {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let token = sign_hs256(&json!({ "exp": 4_000_000_000_u64 }), SECRET);
        Client { sender, token }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A connection to the service.
pub struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
    token: String,
}

impl Client {
    /// The status and the body, or `None` where the connection broke.
    pub async fn send(&mut self, method: &str, path: &str, request_id: &str, body: Value) -> Option<(u16, Value)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", "crm")
            .header("Authorization", format!("Bearer {}", self.token))
            .header("X-Request-ID", request_id)
            .header("Content-Type", "application/json")
            .body(if body.is_null() { Full::default() } else { Full::from(body.to_string()) })
            .unwrap();
        self.sender.ready().await.ok()?;
        let response = self.sender.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.ok()?.to_bytes();
        Some((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }
}
