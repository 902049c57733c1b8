//! The binary: run to its end, or served from for as long as a test needs it.

use std::{
    fmt::Display,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{PII_KEYS, SECRET, TestDatabase, sign_hs256, variable};

/// What a server needs besides its database and its keys.
pub const SERVER: [(&str, &str); 3] = [("CRM_PORT", "0"), ("CRM_METRICS_ADDR", "off"), ("CRM_JWT_SECRET", SECRET)];

/// How long a start may take.
const START_LIMIT: Duration = Duration::from_secs(90);

/// How long a client waits: longer than any limit of the service, so that a late answer is measured rather than missed.
const CLIENT_LIMIT: Duration = Duration::from_secs(90);

/// Names the binary to be tested in place of the one that was built along with the tests.
pub const TESTED: &str = "TEST_CRM";

/// The binary with these variables and no others.
pub fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(variable(TESTED).unwrap_or_else(|| env!("CARGO_BIN_EXE_crm").to_owned()));
    command.args(arguments).env_clear().envs(variables.iter().copied());
    command
}

/// Sends a signal to a process; to a group, where the id is negative.
pub fn signal(signal: &str, id: impl Display) {
    let sent = Command::new("kill").args([signal, "--", &id.to_string()]).status().unwrap();
    assert!(sent.success(), "kill {signal} {id}");
}

#[derive(Debug)]
pub struct CommandOutput {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl CommandOutput {
    /// The log: those lines of standard error that are JSON.
    pub fn log(&self) -> Vec<Value> {
        self.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Why the command failed: the cause in the log's last line, or what stands behind `crm: `.
    pub fn error(&self) -> String {
        let last: Value =
            self.stderr.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        match (&last["message"], self.stderr.split_once("crm: ")) {
            (message, _) if message == "crm cannot go on" => last["cause"].as_str().unwrap().to_owned(),
            (_, Some((_, text))) => text.trim_end().to_owned(),
            _ => panic!("it does not say why it failed: {self:?}"),
        }
    }

    /// The lines of the log whose message begins with this.
    pub fn logged(&self, message: &str) -> Vec<Value> {
        let begins_with_it = |line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with(message));
        self.log().into_iter().filter(begins_with_it).collect()
    }
}

/// Runs a command to its end.
pub fn run_crm(arguments: &[&str], variables: &[(&str, &str)]) -> CommandOutput {
    run(env!("CARGO_BIN_EXE_crm"), arguments, variables)
}

/// Runs a command of another release to its end.
pub fn run(program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> CommandOutput {
    let mut command = Command::new(program);
    let output = command.args(arguments).env_clear().envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    CommandOutput { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs `crm serve` and stops it as soon as it serves: the code is 0 if it could start.
pub fn start_and_stop(variables: &[(&str, &str)]) -> CommandOutput {
    let mut child =
        command(&["serve"], &SERVER).envs(variables.iter().copied()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut stderr = String::new();
    while log.read_line(&mut stderr).unwrap() > 0 {
        if stderr.lines().last().is_some_and(|line| line.contains("\"serving\"")) {
            signal("-TERM", child.id());
            break;
        }
    }
    log.read_to_string(&mut stderr).unwrap();
    CommandOutput { code: child.wait().unwrap().code(), stdout: String::new(), stderr }
}

/// The same without a key for tokens: the service makes a development secret.
pub fn start_and_stop_developing(variables: &[(&str, &str)]) -> CommandOutput {
    start_and_stop(&[variables, &[("CRM_JWT_SECRET", "")]].concat())
}

/// A running service; killed with the test.
pub struct Process {
    pub child: Child,
    /// Where it serves requests; empty for a command that does not.
    pub address: String,
    /// Where its probes and metrics are, if `CRM_METRICS_ADDR` is set.
    pub private: String,
}

impl Process {
    /// Starts the service and waits until it serves.
    pub fn start(database: &TestDatabase) -> Self {
        Self::with("serve", "serving", database, &[])
    }

    /// Starts the service on the database at this URL.
    pub fn at(url: &str, variables: &[(&str, &str)]) -> Self {
        started(Self::try_at(url, variables))
    }

    /// The same; the log, where it does not start.
    pub fn try_at(url: &str, variables: &[(&str, &str)]) -> Result<Self, String> {
        Self::launch(command(&["serve"], &[]), "serving", url, variables)
    }

    /// Starts the service of another release.
    pub fn of_release(program: &str, url: &str) -> Self {
        started(Self::try_of_release(program, url))
    }

    /// The same with these variables.
    pub fn of_release_with(program: &str, url: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program);
        command.arg("serve").env_clear();
        started(Self::launch(command, "serving", url, variables))
    }

    /// The same; the log, where it does not start.
    pub fn try_of_release(program: &str, url: &str) -> Result<Self, String> {
        let mut command = Command::new(program);
        command.arg("serve").env_clear();
        Self::launch(command, "serving", url, &[])
    }

    /// Starts a command and waits until it logs the message `ready`.
    pub fn with(name: &str, ready: &'static str, database: &TestDatabase, variables: &[(&str, &str)]) -> Self {
        started(Self::launch(command(&[name], &[]), ready, &database.url(), variables))
    }

    /// Starts the service and its private listener under these limits of file descriptors, `soft:hard`. This machine may have
    /// as many connections as it likes.
    pub fn limited(descriptors: &str, database: &TestDatabase) -> Self {
        let mut program = Command::new("prlimit");
        program.arg(format!("--nofile={descriptors}")).args([env!("CARGO_BIN_EXE_crm"), "serve"]).env_clear();
        let variables = [("CRM_METRICS_ADDR", "127.0.0.1:0"), ("CRM_TRUSTED_PROXIES", "127.0.0.0/8")];
        started(Self::launch(program, "serving", &database.url(), &variables))
    }

    /// Starts the service on a socket that is handed over to it, as by systemd: as descriptor 3, for this process alone.
    pub fn handed_over(socket: &TcpListener, database: &TestDatabase, variables: &[(&str, &str)]) -> Self {
        started(Self::try_handed_over(socket.try_clone().unwrap().into(), database, variables))
    }

    /// The same with whatever is behind this descriptor; the log, where it does not start.
    pub fn try_handed_over(
        socket: OwnedFd,
        database: &TestDatabase,
        variables: &[(&str, &str)],
    ) -> Result<Self, String> {
        let mut program = Command::new("sh");
        let hand_over = r#"exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve"#;
        program.args(["-c", hand_over, env!("CARGO_BIN_EXE_crm")]).env_clear();
        program.stdin(socket);
        Self::launch(program, "serving", &database.url(), variables)
    }

    fn launch(
        mut program: Command,
        ready: &'static str,
        url: &str,
        variables: &[(&str, &str)],
    ) -> Result<Self, String> {
        let own = [("CRM_DATABASE_URL", url), ("CRM_PII_KEYS", PII_KEYS), ("CRM_LOG_FORMAT", "json")];
        let variables = SERVER.iter().chain(&own).chain(variables).copied();
        let mut child = program.envs(variables).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (started, start) = std::sync::mpsc::channel();
        // Reads to the end: the service drops lines that nobody reads.
        std::thread::spawn(move || {
            let (mut before, mut private) = (Some(String::new()), String::new());
            let show_errors = variable("TEST_SHOW_ERRORS").is_some();
            for line in log.split(b'\n') {
                let Ok(line) = line else { return };
                let line = String::from_utf8_lossy(&line);
                if show_errors && line.contains("\"ERROR\"") {
                    eprintln!("{line}");
                }
                if let Some(log) = &mut before {
                    let event: Value = serde_json::from_str(&line).unwrap_or_default();
                    log.push_str(&line);
                    log.push('\n');
                    let address = event["address"].as_str().unwrap_or_default().to_owned();
                    if event["message"] == "probes and metrics" {
                        private.clone_from(&address);
                    }
                    if event["message"] == ready {
                        before = None;
                        let _timed_out = started.send(Ok((address, std::mem::take(&mut private))));
                    }
                }
            }
            if let Some(log) = before {
                let _timed_out = started.send(Err(log));
            }
        });
        let mut process = Self { child, address: String::new(), private: String::new() };
        match start.recv_timeout(START_LIMIT) {
            Ok(addresses) => (process.address, process.private) = addresses?,
            Err(_) => panic!("not ready after {START_LIMIT:?}"),
        }
        Ok(process)
    }

    pub fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }

    /// Stops it in order, and returns its exit code.
    pub async fn stop(mut self) -> Option<i32> {
        self.signal("-TERM");
        let asked = Instant::now();
        while asked.elapsed() < CLIENT_LIMIT {
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

fn started(process: Result<Process, String>) -> Process {
    process.unwrap_or_else(|log| panic!("it ended before it was ready:\n{log}"))
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
    /// What it has seen, and sends with each request.
    pub position: Option<String>,
}

impl Client {
    pub async fn connect(address: &str) -> Option<Self> {
        let sender = Self::open(address).await?;
        let token = sign_hs256(&json!({ "exp": 4_000_000_000_u64 }), SECRET);
        Some(Self { address: address.to_owned(), sender, token, position: None })
    }

    /// The same with these scopes named in the token.
    pub fn scoped(self, scope: &str) -> Self {
        let token = sign_hs256(&json!({ "exp": 4_000_000_000_u64, "scope": scope }), SECRET);
        Self { token, ..self }
    }

    /// The same with this token.
    pub fn with_token(self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self }
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

    /// The answer, or `None` where the connection broke. Connects again first, if the service closed the connection.
    pub async fn ask(&mut self, method: &str, path: &str, request_id: &str, body: &Value) -> Option<Answer> {
        if self.sender.ready().await.is_err() {
            self.sender = Self::open(&self.address).await?;
        }
        let mut request = Request::builder();
        if let Some(position) = &self.position {
            request = request.header("X-Database-Position", position);
        }
        let request = request
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
        let answer = tokio::time::timeout(CLIENT_LIMIT, answer).await;
        answer.unwrap_or_else(|_| panic!("{method} {path} is not answered in {CLIENT_LIMIT:?}"))
    }

    /// The answer, which must come and pass [`Answer::checked`].
    pub async fn call(&mut self, method: &str, path: &str, request_id: &str, body: &Value) -> Answer {
        let answer = self.ask(method, path, request_id, body).await;
        answer.unwrap_or_else(|| panic!("{method} {path}: the connection broke")).checked()
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.call("GET", path, "look", &Value::Null).await
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
    /// From the request to the end of the answer.
    pub took: Duration,
}

impl Answer {
    /// Fails unless the answer keeps what holds during any fault: it comes within 10 s, a failure is 503 with
    /// `Retry-After` and no other 5xx, and an error has the common body.
    pub fn checked(self) -> Self {
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
