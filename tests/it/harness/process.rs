//! The binary, run to its end, or as long as a test needs it.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{PII_KEYS, SECRET, TestDatabase, sign_hs256, variable};

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

/// How long a start may take.
const START_PATIENCE: Duration = Duration::from_secs(90);
/// How long a client waits for an answer that may be late: later than any promise, so that a test tells how late it is.
const PATIENCE: Duration = Duration::from_secs(90);

impl Process {
    /// Starts the service and waits until it says where it listens.
    pub fn start(database: &TestDatabase) -> Self {
        Self::with("serve", "serving", database, &[])
    }

    /// Starts the service on the database at this URL.
    pub fn at(url: &str, more: &[(&str, &str)]) -> Self {
        Self::try_at(url, more).unwrap_or_else(|said| panic!("it ended before it worked:\n{said}"))
    }

    /// The same, or what was said by one that could not start.
    pub fn try_at(url: &str, more: &[(&str, &str)]) -> Result<Self, String> {
        let variables: Vec<_> = more.iter().copied().chain([("CRM_DATABASE_URL", url)]).collect();
        Self::launch("serve", "serving", &variables)
    }

    /// Starts a command and waits until it says that it works.
    pub fn with(command: &str, works: &'static str, database: &TestDatabase, more: &[(&str, &str)]) -> Self {
        let url = database.url();
        let variables: Vec<_> = more.iter().copied().chain([("CRM_DATABASE_URL", url.as_str())]).collect();
        let launched = Self::launch(command, works, &variables);
        launched.unwrap_or_else(|said| panic!("it ended before it worked:\n{said}"))
    }

    /// Starts the service, with its private listener, under these limits of file descriptors: `soft:hard`.
    pub fn limited(descriptors: &str, database: &TestDatabase) -> Self {
        let mut program = Command::new("prlimit");
        program.arg(format!("--nofile={descriptors}")).args([env!("CARGO_BIN_EXE_crm"), "serve"]);
        let url = database.url();
        let launched =
            Self::run(program, "serving", &[("CRM_DATABASE_URL", &url), ("CRM_METRICS_ADDR", "127.0.0.1:0")]);
        launched.unwrap_or_else(|said| panic!("it ended before it worked:\n{said}"))
    }

    fn launch(command: &str, works: &'static str, more: &[(&str, &str)]) -> Result<Self, String> {
        let mut program = Command::new(env!("CARGO_BIN_EXE_crm"));
        program.arg(command);
        Self::run(program, works, more)
    }

    fn run(mut program: Command, works: &'static str, more: &[(&str, &str)]) -> Result<Self, String> {
        let variables = [
            ("CRM_PORT", "0"),
            ("CRM_METRICS_ADDR", "off"),
            ("CRM_JWT_SECRET", SECRET),
            ("CRM_PII_KEYS", PII_KEYS),
            ("CRM_LOG_FORMAT", "json"),
        ];
        let mut child =
            program.env_clear().envs(variables).envs(more.iter().copied()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (started, start) = std::sync::mpsc::channel();
        // The rest of the log must be read, or lines would be dropped.
        std::thread::spawn(move || {
            let (mut before, mut private) = (Some(String::new()), String::new());
            let shown = variable("TEST_SHOW_ERRORS").is_some();
            for line in log.split(b'\n') {
                let Ok(line) = line else { return };
                let line = String::from_utf8_lossy(&line);
                if shown && line.contains("\"ERROR\"") {
                    eprintln!("{line}");
                }
                if let Some(said) = &mut before {
                    let event: Value = serde_json::from_str(&line).unwrap_or_default();
                    said.push_str(&line);
                    said.push('\n');
                    let address = event["address"].as_str().unwrap_or_default().to_owned();
                    if event["message"] == "probes and metrics" {
                        private.clone_from(&address);
                    }
                    if event["message"] == works {
                        before = None;
                        let _heard = started.send(Ok((address, std::mem::take(&mut private))));
                    }
                }
            }
            if let Some(said) = before {
                let _heard = started.send(Err(said));
            }
        });
        let mut process = Self { child, address: String::new(), private: String::new() };
        match start.recv_timeout(START_PATIENCE) {
            Ok(addresses) => (process.address, process.private) = addresses?,
            Err(_) => panic!("it does not start"),
        }
        Ok(process)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) -> Option<i32> {
        self.signal("-TERM");
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it does not stop");
    }

    pub async fn client(&self) -> Client {
        Client::connect(&self.address).await.unwrap()
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
    address: String,
    sender: http1::SendRequest<Full<Bytes>>,
    token: String,
}

impl Client {
    pub async fn connect(address: &str) -> Option<Self> {
        let sender = Self::open(address).await?;
        let token = sign_hs256(&json!({ "exp": 4_000_000_000_u64 }), SECRET);
        Some(Self { address: address.to_owned(), sender, token })
    }

    async fn open(address: &str) -> Option<http1::SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(address).await.ok()?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(sender)
    }

    /// The status and the body, or `None` where the connection broke.
    pub async fn send(&mut self, method: &str, path: &str, request_id: &str, body: Value) -> Option<(u16, Value)> {
        self.ask(method, path, request_id, &body).await.map(|answer| (answer.status, answer.body))
    }

    /// The answer, or `None` where the connection broke. One that was closed since the last answer is made anew first.
    pub async fn ask(&mut self, method: &str, path: &str, request_id: &str, body: &Value) -> Option<Answer> {
        if self.sender.ready().await.is_err() {
            self.sender = Self::open(&self.address).await?;
        }
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", "crm")
            .header("Authorization", format!("Bearer {}", self.token))
            .header("X-Request-ID", request_id)
            .header("Content-Type", "application/json")
            .body(if body.is_null() { Full::default() } else { Full::from(body.to_string()) })
            .unwrap();
        let asked = Instant::now();
        let answer = async {
            let response = self.sender.send_request(request).await.ok()?;
            let (head, body) = response.into_parts();
            let bytes = body.collect().await.ok()?.to_bytes();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            Some(Answer { status: head.status.as_u16(), headers: head.headers, body, took: asked.elapsed() })
        };
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        answer.unwrap_or_else(|_| panic!("{method} {path} is not answered in {PATIENCE:?}"))
    }

    /// The answer to a GET, which must come and keep what every answer promises.
    pub async fn get(&mut self, path: &str) -> Answer {
        let answer = self.ask("GET", path, "look", &Value::Null).await;
        answer.unwrap_or_else(|| panic!("GET {path}: the connection broke")).promised()
    }
}

/// An answer of the binary.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
    /// From the request to the end of the answer.
    pub took: Duration,
}

impl Answer {
    /// Fails unless the answer keeps what is promised whatever happens: it comes within 10 s, what fails is 503 with
    /// `Retry-After` and never another 5xx, and an error has the one shape.
    pub fn promised(self) -> Self {
        assert!(self.took <= Duration::from_secs(10), "answered {} after {:?}", self.status, self.took);
        assert!(self.status < 500 || self.status == 503, "{} {}", self.status, self.body);
        if self.status >= 400 {
            for field in ["code", "message", "requestId"] {
                assert!(self.body[field].is_string(), "no {field} in {} {}", self.status, self.body);
            }
        }
        assert!(self.status != 503 || self.headers.contains_key("Retry-After"), "503 without Retry-After");
        self
    }
}
