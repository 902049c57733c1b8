//! Asks the platform whether a token is active (OAuth 2.0 Token Introspection, RFC 7662).

use std::{io, sync::Arc};

use futures_util::FutureExt;
use reqwest::Url;
use serde_json::{Map, Value};

use super::{
    client::{Away, PlatformClient},
    flights::Flights,
    json,
    token_cache::TokenHash,
    turns::Subject,
};
use crate::{
    config::{Introspection, PlatformAccess, Secret},
    telemetry::{auth_metrics::AuthEndpoint, metrics::Metrics},
    values::Clock,
};

/// What the platform says of an active token; `None` of one that is not.
pub(super) type Answer = Option<Arc<Map<String, Value>>>;

/// Asks the platform.
pub(super) struct Introspector {
    url: Url,
    /// As whom: the value of `Authorization`.
    credentials: Option<Secret>,
    client: PlatformClient,
    questions: Flights<TokenHash, Result<Answer, Away>>,
}

impl Introspector {
    /// # Errors
    /// An address or certificates that cannot be read.
    pub(super) fn new(
        introspection: &Introspection,
        access: &PlatformAccess,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            url: introspection.url.parse().map_err(io::Error::other)?,
            credentials: introspection.client.as_ref().map(|(id, secret)| basic(id, secret)),
            client: PlatformClient::new(access, AuthEndpoint::introspection, clock, metrics)?,
            questions: Flights::default(),
        }))
    }

    /// What the platform says about a token. Whoever asks about the same one meanwhile gets the same answer.
    ///
    /// # Errors
    /// The platform is away, or says nothing that can be understood.
    pub(super) async fn ask(self: &Arc<Self>, token: &str, hash: TokenHash, subject: Subject) -> Result<Answer, Away> {
        let question = || {
            let (asked, token) = (Arc::clone(self), Secret::new(token.to_owned()));
            async move { asked.ask_now(&token, subject).await }.boxed()
        };
        self.questions.join(hash, question).await
    }

    async fn ask_now(&self, token: &Secret, subject: Subject) -> Result<Answer, Away> {
        let reply = self.client.post(subject, |http| {
            let question = http.post(self.url.clone()).header("Accept", "application/json");
            let question = question.form(&[("token", token.reveal())]);
            match &self.credentials {
                Some(credentials) => question.header("Authorization", credentials.reveal()),
                None => question,
            }
        });
        let object = json::object(&reply.await?);
        let claims =
            object.ok_or(Away("its answer is no JSON object, nests too deeply or has a name twice".to_owned()))?;
        match claims.get("active") {
            Some(Value::Bool(true)) => Ok(Some(Arc::new(claims))),
            Some(Value::Bool(false)) => Ok(None),
            // A door that opens to `"true"` opens to anything that is not false.
            _ => Err(Away("its answer does not say whether the token is active".to_owned())),
        }
    }
}

/// HTTP Basic, with both parts encoded as in a form (RFC 6749, section 2.3.1).
fn basic(id: &str, secret: &Secret) -> Secret {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use zeroize::Zeroizing;

    let pair = Zeroizing::new(format!("{}:{}", form(id).as_str(), form(secret.reveal()).as_str()));
    Secret::new(format!("Basic {}", Zeroizing::new(STANDARD.encode(pair.as_bytes())).as_str()))
}

fn form(text: &str) -> zeroize::Zeroizing<String> {
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    zeroize::Zeroizing::new(encoded)
}
