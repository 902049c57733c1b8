//! Verifies tokens: by their signature here, or by asking the platform. Nothing that goes wrong on the way accepts a token;
//! the worst that an outage does is to keep one from being checked.
//!
//! 1. A token that is too long is not looked at.
//! 2. Its header is read, once ([`super::jws`]). What is no JSON Web Token is for the platform to tell.
//! 3. A token that was checked before is known by its hash, for as long as its key is held or the platform's word is fresh.
//! 4. Its signature is verified, or the platform is asked; then its claims are read ([`super::policy`]).
//! 5. What depends on the time is checked, for the known ones too.

use std::{io, sync::Arc, time::Duration};

use super::{
    claims::Claims,
    client::Away,
    introspection::Introspector,
    jws::{Jws, MAX_TOKEN},
    key::KeyId,
    key_set::Verdict,
    key_source::KeySource,
    policy::{Checked, Policy},
    refusal::{malformed, refusal},
    rejection::{Refused, Rejection},
    token_cache::{TokenCache, TokenHash},
    turns::Subject,
};
use crate::{
    config::Config,
    error::{Error, Result},
    telemetry::{auth_metrics::TokenRefusal, metrics::Metrics},
    values::Clock,
};

/// How long it is remembered, at most, that the platform does not accept a token.
const INACTIVE: Duration = Duration::from_secs(10);

/// Verifies tokens.
pub struct TokenVerifier {
    keys: Option<KeySource>,
    introspector: Option<Arc<Introspector>>,
    /// Whether the platform is asked about every token.
    asks_always: bool,
    policy: Policy,
    cache: TokenCache,
    cache_for: Duration,
    grace: Duration,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl TokenVerifier {
    /// Verifies tokens as configured; where nothing is, by the development secret, made when missing. The platform is not
    /// asked for anything yet.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds a key that cannot be used.
    pub fn from_config(config: &Config, clock: &Clock, metrics: &Arc<Metrics>) -> io::Result<Self> {
        let access = &config.auth.access;
        let introspection = config.auth.introspection.as_ref();
        let introspector = introspection
            .map(|introspection| Introspector::new(introspection, access, clock.clone(), Arc::clone(metrics)))
            .transpose()?;
        Ok(Self {
            keys: KeySource::new(config, clock, metrics)?,
            introspector,
            asks_always: introspection.is_some_and(|introspection| introspection.all),
            policy: Policy::new(&config.auth),
            cache: TokenCache::new(clock),
            cache_for: access.cache,
            grace: access.grace,
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
        })
    }

    /// Verifies a token.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn verify(&self, token: &str) -> std::result::Result<Claims, Rejection> {
        let verified = self.judge(token).await;
        if let Err(rejection) = &verified {
            self.metrics.auth.refuse(rejection.reason());
        }
        verified.map(|checked| checked.claims.clone())
    }

    /// Fetches what is due, and forgets what has expired: to be called each second.
    ///
    /// # Errors
    /// The keys cannot be had.
    pub async fn keep_fresh(&self) -> Result<()> {
        let now = self.clock.now();
        self.cache.retain(|known| self.policy.check(&known.checked, now).is_ok());
        let Some(keys) = &self.keys else { return Ok(()) };
        let fresh = keys.keep_fresh().await;
        self.show();
        fresh.map_err(|Away(cause)| Error::unavailable(cause))
    }

    fn show(&self) {
        let (keys, age) = match self.keys.as_ref().and_then(KeySource::age) {
            Some((keys, age)) => (keys, i64::try_from(age.as_secs()).unwrap_or(i64::MAX)),
            None => (0, -1),
        };
        self.metrics.auth.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
        self.metrics.auth.keys_age.set(age);
        self.metrics.auth.cached.set(i64::try_from(self.cache.len()).unwrap_or(i64::MAX));
    }

    async fn judge(&self, token: &str) -> std::result::Result<Arc<Checked>, Rejection> {
        if token.len() > MAX_TOKEN {
            return Err(Rejection::TooLarge);
        }
        let hash = TokenCache::hash(token);
        if !self.asks_always
            && let Some(source) = &self.keys
        {
            let known = self.cache.get(&hash).and_then(|known| Some((known.checked, known.key?)));
            if let Some((checked, key)) = known
                && source.keys().await.map_err(unavailable)?.holds(&key)
            {
                self.metrics.auth.looked_up(true);
                return self.check(checked);
            }
            if let Some(token_parts) = Jws::parse(token)? {
                return self.verify_signed(source, hash, &token_parts).await;
            }
        }
        match &self.introspector {
            Some(introspector) if is_bearer_token(token) => self.introspect(introspector, (token, hash)).await,
            _ => Err(malformed("the token is malformed, or not signed with the configured key and algorithm").into()),
        }
    }

    async fn verify_signed(
        &self,
        source: &KeySource,
        hash: TokenHash,
        parts: &Jws<'_>,
    ) -> std::result::Result<Arc<Checked>, Rejection> {
        let mut keys = source.keys().await.map_err(unavailable)?;
        self.metrics.auth.looked_up(false);
        let mut verdict = keys.verify(parts);
        if verdict == Verdict::UnknownKey {
            keys = source.look_again().await.map_err(unavailable)?;
            verdict = keys.verify(parts);
            if matches!(verdict, Verdict::Valid(_)) {
                source.found();
            }
        }
        match verdict {
            Verdict::Valid(key) => {
                let checked = Arc::new(self.policy.read(&parts.claims()?, true)?);
                self.remember(hash, Arc::clone(&checked), Some(key));
                self.check(checked)
            }
            Verdict::Invalid => Err(refusal(TokenRefusal::signature, NOT_SIGNED).into()),
            Verdict::UnknownKey if parts.kid.is_some() && !matches!(source, KeySource::Fixed(_)) => {
                Err(refusal(TokenRefusal::key, "the token is signed with a key that is not known").into())
            }
            Verdict::UnknownKey => Err(refusal(TokenRefusal::signature, NOT_SIGNED).into()),
        }
    }

    async fn introspect(
        &self,
        introspector: &Arc<Introspector>,
        (token, hash): (&str, TokenHash),
    ) -> std::result::Result<Arc<Checked>, Rejection> {
        let known = self.cache.get(&hash).filter(|known| known.key.is_none());
        let fresh = known.as_ref().filter(|known| self.cache.age(known) < self.cache_for);
        self.metrics.auth.looked_up(fresh.is_some());
        if let Some(known) = fresh {
            return self.check(Arc::clone(&known.checked));
        }
        if let Some(refusal) = self.cache.refusal(&hash, self.cache_for.min(INACTIVE)) {
            return Err(refusal.into());
        }
        let subject = if known.is_some() { Subject::Known } else { Subject::Unknown };
        match introspector.ask(token, hash, subject).await {
            Ok(Some(claims)) => {
                let checked = self.policy.read(&claims, false).inspect_err(|refused| {
                    self.cache.refuse(hash, refused.refusal.clone());
                })?;
                let checked = Arc::new(checked);
                self.remember(hash, Arc::clone(&checked), None);
                self.check(checked)
            }
            Ok(None) => {
                let refusal = refusal(TokenRefusal::inactive, "the token is not active");
                self.cache.refuse(hash, refusal.clone());
                Err(refusal.into())
            }
            // What the platform said last holds for a while.
            Err(away) => match known.filter(|known| self.cache.age(known) <= self.grace) {
                Some(known) => self.check(known.checked),
                None => Err(unavailable(away)),
            },
        }
    }

    fn remember(&self, hash: TokenHash, checked: Arc<Checked>, key: Option<KeyId>) {
        if self.policy.check(&checked, self.clock.now()).is_ok() {
            self.cache.insert(hash, checked, key);
        } else {
            self.cache.remove(&hash);
        }
    }

    /// Whether a token is valid now.
    fn check(&self, checked: Arc<Checked>) -> std::result::Result<Arc<Checked>, Rejection> {
        match self.policy.check(&checked, self.clock.now()) {
            Ok(()) => Ok(checked),
            Err(refusal) => {
                let bearer = Some(Box::new(checked.claims.bearer.clone()));
                Err(Refused { refusal, bearer }.into())
            }
        }
    }
}

const NOT_SIGNED: &str = "the token is malformed, or not signed with the configured key and algorithm";

/// Whether a text has the form of a bearer token (RFC 6750, section 2.1): the platform is not asked about anything else.
fn is_bearer_token(text: &str) -> bool {
    let unpadded = text.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    !unpadded.is_empty() && unpadded.bytes().all(allowed)
}

fn unavailable(Away(cause): Away) -> Rejection {
    Rejection::Unavailable(format!("the platform's authentication is away: {cause}"))
}
