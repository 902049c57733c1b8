//! A stand-in for the platform's authentication: it answers at each path as it is told, and fails in as many ways.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// How it answers.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// 200 with this body, as JSON.
    Json(Value),
    /// This status line, these header lines and this body.
    Reply(&'static str, String, String),
    /// The same, after a while.
    After(Duration, Box<Behaviour>),
    /// Never.
    Hang,
    /// A byte every 100 ms, without end.
    Drip,
    /// Half a body; then it closes.
    HalfABody,
    /// It closes at once.
    Close,
    /// 200 with a body of so many bytes, whose length it does not say.
    Huge(usize),
}

/// A request that it got.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub head: String,
    pub body: String,
}

/// The stand-in, until it is dropped.
pub struct Platform {
    pub address: String,
    paths: Arc<Mutex<HashMap<String, Behaviour>>>,
    received: Arc<Mutex<Vec<Received>>>,
    running: Option<JoinHandle<()>>,
}

impl Platform {
    pub async fn start() -> Self {
        let mut platform =
            Self { address: "127.0.0.1:0".to_owned(), paths: Arc::default(), received: Arc::default(), running: None };
        platform.come_back().await;
        platform
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers so at this path from now on; at all others with 404.
    pub fn at(&self, path: &str, behaviour: Behaviour) {
        self.paths.lock().unwrap().insert(path.to_owned(), behaviour);
    }

    /// The requests for a path so far.
    pub fn received(&self, path: &str) -> Vec<Received> {
        self.received.lock().unwrap().iter().filter(|request| request.path == path).cloned().collect()
    }

    /// Connections are refused from now on.
    pub async fn go_away(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            let _aborted = running.await;
        }
    }

    /// It is there again, at the same address.
    pub async fn come_back(&mut self) {
        let listener = TcpListener::bind(&self.address).await.unwrap();
        self.address = listener.local_addr().unwrap().to_string();
        let (paths, received) = (Arc::clone(&self.paths), Arc::clone(&self.received));
        self.running = Some(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (paths, received) = (Arc::clone(&paths), Arc::clone(&received));
                connections.spawn(async move { answer(stream, &paths, &received).await });
            }
        }));
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

async fn answer(
    mut stream: TcpStream,
    paths: &Mutex<HashMap<String, Behaviour>>,
    received: &Mutex<Vec<Received>>,
) -> Option<()> {
    let request = read(&mut stream).await?;
    let behaviour = paths.lock().unwrap().get(&request.path).cloned();
    received.lock().unwrap().push(request);
    let behaviour = behaviour.unwrap_or(Behaviour::Reply("404 Not Found", String::new(), String::new()));
    send(&mut stream, behaviour).await.ok()
}

async fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or_default() {
                let path = head.split(' ').nth(1)?.to_owned();
                return Some(Received { path, head: head.to_owned(), body: body.to_owned() });
            }
        }
        let mut more = [0; 4096];
        match stream.read(&mut more).await.ok()? {
            0 => return None,
            count => bytes.extend(&more[..count]),
        }
    }
}

async fn send(stream: &mut TcpStream, behaviour: Behaviour) -> std::io::Result<()> {
    let json = "Content-Type: application/json\r\n";
    match behaviour {
        Behaviour::Json(body) => {
            let reply = Behaviour::Reply("200 OK", json.to_owned(), body.to_string());
            Box::pin(send(stream, reply)).await
        }
        Behaviour::Reply(status, headers, body) => {
            let length = body.len();
            let reply =
                format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            stream.write_all(reply.as_bytes()).await
        }
        Behaviour::After(pause, then) => {
            tokio::time::sleep(pause).await;
            Box::pin(send(stream, *then)).await
        }
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Drip => {
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{json}Content-Length: 100000\r\n\r\n{{").as_bytes()).await?;
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                stream.write_all(b" ").await?;
            }
        }
        Behaviour::HalfABody => {
            stream
                .write_all(format!("HTTP/1.1 200 OK\r\n{json}Content-Length: 17\r\n\r\n{{\"active\":").as_bytes())
                .await
        }
        Behaviour::Close => Ok(()),
        Behaviour::Huge(size) => {
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{json}Connection: close\r\n\r\n").as_bytes()).await?;
            stream.write_all(format!("{{\"active\":true,\"filler\":\"{}\"}}", "x".repeat(size)).as_bytes()).await
        }
    }
}

/// A key pair of the tests, under a name.
pub struct SigningKey {
    kid: String,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl SigningKey {
    /// `file` is `rsa`, `ec` or `ed`: one of those in `auth/keys`.
    pub fn new(file: &str, kid: &str) -> Self {
        let path = format!("{}/tests/it/auth/keys/{file}.pem", env!("CARGO_MANIFEST_DIR"));
        let pem = std::fs::read(path).unwrap();
        let (algorithm, key) = match file {
            "rsa" => (Algorithm::RS256, EncodingKey::from_rsa_pem(&pem).unwrap()),
            "ec" => (Algorithm::ES256, EncodingKey::from_ec_pem(&pem).unwrap()),
            _ => (Algorithm::EdDSA, EncodingKey::from_ed_pem(&pem).unwrap()),
        };
        Self { kid: kid.to_owned(), algorithm, key }
    }

    /// The public half, as it stands in a key set.
    pub fn public(&self) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(self.kid);
        jwk.as_object_mut().unwrap().remove("alg");
        jwk
    }

    /// A token that says these things.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(Some(&self.kid), self.algorithm, claims)
    }

    /// The same under another name, or none, or by another algorithm of the key.
    pub fn sign_as(&self, kid: Option<&str>, algorithm: Algorithm, claims: &Value) -> String {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

/// A key set.
pub fn jwks(keys: &[&SigningKey]) -> Value {
    json!({ "keys": keys.iter().map(|key| key.public()).collect::<Vec<_>>() })
}
