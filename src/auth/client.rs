//! Asks the platform over HTTP: never for longer than [`BUDGET`], never following a redirect, never taking more than
//! [`MAX_REPLY`].

use std::{io, sync::Arc, time::Duration};

use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url, header::CONTENT_TYPE, redirect::Policy};
use tokio::time::{Instant, timeout};

use super::{
    breaker::Breaker,
    turns::{AT_ONCE, Subject, Turns},
};
use crate::{
    config::{PlatformAccess, is_allowed},
    telemetry::{auth_metrics::AuthEndpoint, metrics::Metrics},
    values::Clock,
};

/// How long an answer is waited for, all attempts together.
const BUDGET: Duration = Duration::from_secs(5);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(3);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);
/// How often a question is asked again.
const RETRIES: u32 = 2;
/// The pause before that, at least; as much again is left to chance.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest reply, in bytes.
const MAX_REPLY: usize = 256 * 1024;

/// Asks the platform at one endpoint.
pub(super) struct PlatformClient {
    http: Client,
    plain_http: bool,
    breaker: Breaker,
    turns: Turns,
}

/// The platform did not answer, or what it answered is none. For the log.
#[derive(Debug, Clone)]
pub(super) struct Away(pub(super) String);

/// Why one attempt came to nothing.
struct Failure {
    cause: String,
    /// Whether it says that the platform is away, rather than that it did not like this question.
    is_outage: bool,
}

impl PlatformClient {
    /// # Errors
    /// Certificates that cannot be read.
    pub(super) fn new(
        access: &PlatformAccess,
        endpoint: AuthEndpoint,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let mut http = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(ATTEMPT)
            .pool_max_idle_per_host(AT_ONCE)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("crm/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &access.ca_file {
            let certificates = file.certificates()?.into_iter().map(|der| Certificate::from_der(&der));
            http = http.tls_certs_only(certificates.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?);
        }
        let http =
            http.build().map_err(|error| io::Error::other(format!("TLS to the platform: {}", describe(&error))))?;
        let breaker = Breaker::new(endpoint, clock, metrics);
        Ok(Self { http, plain_http: access.plain_http, breaker, turns: Turns::default() })
    }

    /// The bytes at an address.
    pub(super) async fn get(&self, url: &str) -> Result<Vec<u8>, Away> {
        self.ask(Subject::Known, || self.get_once(url)).await
    }

    /// The bytes at the address that is `found` in those at another, and that address. It is one question: that the first
    /// address answers does not say that the platform is there.
    pub(super) async fn get_through(
        &self,
        url: &str,
        found: impl Fn(&[u8]) -> Result<String, Away>,
    ) -> Result<(String, Vec<u8>), Away> {
        let found = &found;
        let attempt = || async move {
            let found = found(&self.get_once(url).await?).map_err(Failure::refusal)?;
            let bytes = self.get_once(&found).await?;
            Ok((found, bytes))
        };
        self.ask(Subject::Known, attempt).await
    }

    /// The reply of JSON to a question.
    pub(super) async fn post(
        &self,
        subject: Subject,
        question: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Vec<u8>, Away> {
        self.ask(subject, || answer(question(&self.http), true)).await
    }

    async fn get_once(&self, url: &str) -> Result<Vec<u8>, Failure> {
        let refusal = |cause: &str| Failure::refusal(Away(cause.to_owned()));
        let url: Url = url.parse().map_err(|_| refusal("is no address"))?;
        if !is_allowed(&url, self.plain_http) {
            return Err(refusal("an address without TLS, which is not allowed"));
        }
        answer(self.http.get(url).header("Accept", "application/json"), false).await
    }

    async fn ask<T, A>(&self, subject: Subject, question: impl Fn() -> A) -> Result<T, Away>
    where
        A: Future<Output = Result<T, Failure>>,
    {
        let deadline = Instant::now() + BUDGET;
        let turn = self.turns.next(subject, deadline).await;
        let _turn = turn.ok_or(Away("too many questions wait for the platform".to_owned()))?;
        let mut away = Away("it counts as away".to_owned());
        for attempt in 0..=RETRIES {
            if attempt > 0 {
                let pause = pause(attempt);
                if Instant::now() + pause >= deadline {
                    break;
                }
                tokio::time::sleep(pause).await;
            }
            let Some(permit) = self.breaker.admit() else { break };
            let left = deadline.saturating_duration_since(Instant::now()).min(ATTEMPT);
            let answer = timeout(left, question()).await;
            match answer.unwrap_or_else(|_| Err(Failure::outage("no answer in time"))) {
                Ok(reply) => {
                    permit.succeeded();
                    return Ok(reply);
                }
                Err(failure) if failure.is_outage => {
                    permit.failed(&failure.cause);
                    away = Away(failure.cause);
                }
                Err(failure) => {
                    permit.refused();
                    return Err(Away(failure.cause));
                }
            }
        }
        Err(away)
    }
}

impl Failure {
    fn outage(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), is_outage: true }
    }

    fn refusal(Away(cause): Away) -> Self {
        Self { cause, is_outage: false }
    }
}

async fn answer(question: RequestBuilder, json: bool) -> Result<Vec<u8>, Failure> {
    let response = question.send().await.map_err(|error| Failure::outage(describe(&error)))?;
    let status = response.status();
    if status != StatusCode::OK {
        // What it says about one question must not keep others from being asked: anybody may send a token.
        let is_outage = !status.is_client_error() || status == StatusCode::TOO_MANY_REQUESTS;
        return Err(Failure { cause: format!("it answered {}", status.as_u16()), is_outage });
    }
    if json && !is_json(&response) {
        return Err(Failure::outage("its answer is not application/json"));
    }
    read(response).await
}

fn is_json(response: &Response) -> bool {
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

async fn read(mut response: Response) -> Result<Vec<u8>, Failure> {
    let too_large = || Failure::outage(format!("its answer is larger than {MAX_REPLY} bytes"));
    if response.content_length().is_some_and(|length| length > MAX_REPLY as u64) {
        return Err(too_large());
    }
    let mut reply = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Failure::outage(describe(&error)))? {
        if reply.len() + chunk.len() > MAX_REPLY {
            return Err(too_large());
        }
        reply.extend_from_slice(&chunk);
    }
    Ok(reply)
}

/// An error and its causes, without the address: that may be long, and the log names the endpoint.
fn describe(error: &reqwest::Error) -> String {
    let mut text = match error {
        error if error.is_timeout() => "no answer in time".to_owned(),
        error if error.is_connect() => "not reached".to_owned(),
        _ => "the connection broke, or the answer is no HTTP".to_owned(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

/// The pause before an attempt: longer each time, and never the same for all who wait.
fn pause(attempt: u32) -> Duration {
    let mut chance = [0_u8; 1];
    let _as_good_as_chance = getrandom::fill(&mut chance);
    let [chance] = chance;
    let pause = PAUSE.saturating_mul(attempt);
    pause + pause.mul_f64(f64::from(chance) / 255.0)
}
