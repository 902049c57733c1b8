//! Requests to the service that is verified, and what it replied.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::{Method, RequestBuilder, Response, header::HeaderMap};
use serde_json::Value;

use super::{operations::Operation, target::Caller};

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often a request that came too often is sent, and how long is waited in between at most.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_secs(5);
/// How much of a reply is read, in bytes: the contract is the largest by far.
const REPLY: usize = 16 * 1024 * 1024;

/// Sends requests, and keeps what all replies must have.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    times: Mutex<Times>,
}

/// What `X-Response-Time` said.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    pub replies: u64,
    /// The longest, in milliseconds.
    pub longest: f64,
    /// The first reply without it, or with something else in it.
    pub missing: Option<String>,
}

/// A request that is being made.
pub(super) struct Ask<'c> {
    client: &'c Client,
    request: RequestBuilder,
    what: String,
}

/// What was answered.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    /// The request, for whoever reads the evidence.
    pub what: String,
    pub status: u16,
    pub headers: HeaderMap,
    /// The body; `null` where it is no JSON.
    pub body: Value,
    pub text: String,
}

impl Client {
    /// A client of the service at this address; on this machine no proxy is in between.
    pub fn new(base: &str, is_own: bool) -> Result<Self, String> {
        let mut http = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        if is_own {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| format!("no client can be made: {error}"))?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), times: Mutex::default() })
    }

    /// A request without a token, a body and an `X-Request-ID`.
    pub fn ask(&self, method: Method, path: &str) -> Ask<'_> {
        let what = format!("{method} {path}");
        Ask { client: self, request: self.http.request(method, format!("{}{path}", self.base)), what }
    }

    pub fn get(&self, path: &str) -> Ask<'_> {
        self.ask(Method::GET, path)
    }

    /// A request for an operation, to a resource that nobody has.
    pub fn operation(&self, operation: &Operation) -> Ask<'_> {
        self.ask(operation.method.clone(), &operation.path)
    }

    /// What the replies so far said of their times.
    pub fn times(&self) -> Times {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_time(&self, reply: &Reply) {
        let millis = reply.header("X-Response-Time").filter(|text| is_decimal(text)).and_then(|text| text.parse().ok());
        let mut times = self.locked();
        times.replies += 1;
        match millis {
            Some(millis) => times.longest = times.longest.max(millis),
            None => {
                let said = reply.header("X-Response-Time").map_or("no X-Response-Time".to_owned(), |text| {
                    format!("X-Response-Time: {text}, which is no number of milliseconds")
                });
                times.missing.get_or_insert(format!("{} was answered {} with {said}", reply.what, reply.status));
            }
        }
    }
}

/// Whether this is a plain decimal number, without a sign or an exponent.
fn is_decimal(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

impl Ask<'_> {
    /// With a caller's token, for the tenant that the caller names.
    pub fn by(self, caller: &Caller) -> Self {
        let with_token = self.header("Authorization", &format!("Bearer {}", caller.token));
        match &caller.tenant {
            Some(tenant) => with_token.header("X-Tenant-Id", tenant),
            None => with_token,
        }
    }

    pub fn request_id(self, id: &str) -> Self {
        self.header("X-Request-ID", id)
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        Self { request: self.request.header(name, value), ..self }
    }

    pub fn json(self, body: &Value) -> Self {
        self.text("application/json", body.to_string())
    }

    pub fn text(self, media_type: &str, body: String) -> Self {
        let with_type = self.header("Content-Type", media_type);
        Self { request: with_type.request.body(body), ..with_type }
    }

    /// The reply. One that says that requests come too often is waited for.
    pub async fn send(self) -> Result<Reply, String> {
        let Self { client, request, what } = self;
        for _ in 1..ATTEMPTS {
            let again = request.try_clone().ok_or("a request cannot be sent twice")?;
            let reply = reply(again.send().await, &what).await?;
            client.note_time(&reply);
            if reply.status != 429 {
                return Ok(reply);
            }
            let wait = reply.header("Retry-After").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
            tokio::time::sleep(wait.unwrap_or(PAUSE).min(PAUSE)).await;
        }
        let reply = reply(request.send().await, &what).await?;
        client.note_time(&reply);
        Ok(reply)
    }
}

/// Reads a reply to its end, within a bound.
async fn reply(response: reqwest::Result<Response>, what: &str) -> Result<Reply, String> {
    let unanswered = |error: reqwest::Error| format!("{what} was not answered: {}", cause(&error));
    let mut response = response.map_err(unanswered)?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > REPLY {
            return Err(format!("{what} was answered with more than {} MiB", REPLY / 1024 / 1024));
        }
    }
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Reply { what: what.to_owned(), status, headers, body, text })
}

/// The innermost reason, which says more than what wraps it.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

impl Reply {
    /// A header, if it is there once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.get_all(name).iter();
        let one = all.next()?.to_str().ok()?;
        all.next().is_none().then_some(one)
    }

    /// A field of the body that is a text.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str)
    }

    /// The items of a list.
    pub fn items(&self) -> &[Value] {
        self.body.get("data").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Fails unless it has one of these statuses.
    pub fn expect(self, statuses: &[u16]) -> Result<Self, String> {
        if statuses.contains(&self.status) {
            return Ok(self);
        }
        let wanted = statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(" or ");
        Err(format!("{} must be answered {wanted}, and was {}", self.what, self.shown()))
    }

    /// Status and code, with what the body says in particular.
    pub fn shown(&self) -> String {
        let said = [self.field("code"), self.field("details")];
        let said: Vec<&str> = said.into_iter().flatten().collect();
        if said.is_empty() { self.status.to_string() } else { format!("{} {}", self.status, said.join(": ")) }
    }
}
