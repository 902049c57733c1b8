//! The platform's keys, fetched from it (RFC 7517, section 5; OpenID Connect Discovery): by the background task, and for a
//! token whose key is not there. However many such tokens come, one fetch answers all that wait, and after one that did not
//! find a key there is none for the length of the cool-down: whoever invents names of keys must not make the service knock at
//! the platform. A fetch that did find one does not count, so that a rotation is followed at once. A fetch goes on although
//! everybody hangs up: whoever invents names and hangs up must not keep others' keys from being fetched.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use serde_json::Value;

use super::{
    client::{Away, PlatformClient},
    flights::Flights,
    json,
    key_set::KeySet,
};
use crate::{
    config::PlatformAccess,
    telemetry::{auth_metrics::AuthEndpoint, metrics::Metrics},
    values::{Clock, Stopwatch},
};

/// How often keys are fetched at most.
const OFTEN: Duration = Duration::from_secs(1);
/// How long the address of an issuer's keys is used before the issuer is asked for it again.
const ADDRESS: Duration = Duration::from_secs(3600);

/// Where a key set is.
pub(super) enum Origin {
    /// At this address.
    Url(String),
    /// Where this issuer says.
    Issuer(String),
}

/// The platform's keys.
pub(super) struct RemoteKeys {
    origin: Origin,
    client: PlatformClient,
    clock: Clock,
    refresh: Duration,
    cooldown: Duration,
    grace: Duration,
    state: Mutex<State>,
    fetches: Flights<(), Result<Arc<KeySet>, Away>>,
}

#[derive(Default)]
struct State {
    /// The keys, and when they were fetched.
    held: Option<(Arc<KeySet>, Stopwatch)>,
    /// Where the issuer's keys are, and when it said so; forgotten when they cannot be had there.
    address: Option<(String, Stopwatch)>,
    /// Whether the fetch under way is for a key.
    looking: bool,
    /// When a fetch for a key ended last, unless it found one.
    looked: Option<Stopwatch>,
    /// Why the last fetch came to nothing, if it did.
    away: Option<Away>,
}

impl RemoteKeys {
    /// # Errors
    /// Certificates that cannot be read.
    pub(super) fn new(
        origin: Origin,
        access: &PlatformAccess,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> io::Result<Arc<Self>> {
        let client = PlatformClient::new(access, AuthEndpoint::keys, clock.clone(), metrics)?;
        // What is fetched less often than it may be old would be too old without any outage.
        let grace = access.grace.max(OFTEN * 2);
        Ok(Arc::new(Self {
            origin,
            client,
            clock,
            refresh: access.refresh.min(grace / 2),
            cooldown: access.cooldown,
            grace,
            state: Mutex::default(),
            fetches: Flights::default(),
        }))
    }

    /// The keys, unless they are older than the grace allows.
    fn held(&self) -> Option<Arc<KeySet>> {
        let state = self.state();
        let held = state.held.as_ref().filter(|(_, fetched)| fetched.elapsed() <= self.grace);
        held.map(|(keys, _)| Arc::clone(keys))
    }

    /// The keys; fetched now where there are none.
    pub(super) async fn keys(self: &Arc<Self>) -> Result<Arc<KeySet>, Away> {
        match self.held() {
            Some(keys) => Ok(keys),
            None => self.fetch().await,
        }
    }

    /// The keys as they are now, for a token whose key was not among them; as they were, during the cool-down.
    pub(super) async fn look_again(self: &Arc<Self>) -> Result<Arc<KeySet>, Away> {
        {
            let mut state = self.state();
            if state.looked.as_ref().is_some_and(|looked| looked.elapsed() < self.cooldown)
                && !self.fetches.is_under_way(&())
            {
                return match (&state.away, &state.held) {
                    (None, Some((keys, _))) => Ok(Arc::clone(keys)),
                    (away, _) => Err(away.clone().unwrap_or(Away("there are no keys yet".to_owned()))),
                };
            }
            state.looking = true;
        }
        self.fetch().await
    }

    /// The key was found: the next unknown one is looked for at once.
    pub(super) fn found(&self) {
        self.state().looked = None;
    }

    /// Fetches the keys where that is due.
    pub(super) async fn keep_fresh(self: &Arc<Self>) -> Result<(), Away> {
        let is_due = {
            let state = self.state();
            state.away.is_some() || state.held.as_ref().is_none_or(|(_, fetched)| fetched.elapsed() >= self.refresh)
        };
        if is_due { self.fetch().await.map(drop) } else { Ok(()) }
    }

    /// How many keys there are, and how long ago they were fetched.
    pub(super) fn age(&self) -> Option<(usize, Duration)> {
        self.state().held.as_ref().map(|(keys, fetched)| (keys.len(), fetched.elapsed()))
    }

    async fn fetch(self: &Arc<Self>) -> Result<Arc<KeySet>, Away> {
        let fetch = || {
            let keys = Arc::clone(self);
            async move {
                let fetched = keys.fetch_now().await;
                let mut state = keys.state();
                state.away = fetched.as_ref().err().cloned();
                if state.away.is_some() {
                    state.address = None;
                }
                if std::mem::take(&mut state.looking) {
                    state.looked = Some(keys.clock.stopwatch());
                }
                drop(state);
                fetched
            }
            .boxed()
        };
        self.fetches.join_to_the_end((), fetch).await
    }

    async fn fetch_now(&self) -> Result<Arc<KeySet>, Away> {
        let text = match &self.origin {
            Origin::Url(url) => self.client.get(url).await?,
            Origin::Issuer(issuer) => self.get_of(issuer).await?,
        };
        let (keys, skipped) = KeySet::from_jwks(&text).map_err(|why| Away(format!("its answer {why}")))?;
        let mut state = self.state();
        let keys = match state.held.take() {
            Some((held, _)) if held.is_same(&keys) => held,
            _ => {
                report(&keys, &skipped);
                Arc::new(keys)
            }
        };
        state.held = Some((Arc::clone(&keys), self.clock.stopwatch()));
        Ok(keys)
    }

    /// What is where the issuer's keys are (OpenID Connect Discovery, section 4).
    async fn get_of(&self, issuer: &str) -> Result<Vec<u8>, Away> {
        let address = self.state().address.take().filter(|(_, said)| said.elapsed() < ADDRESS);
        let (address, text) = match address {
            Some((url, said)) => {
                let text = self.client.get(&url).await?;
                ((url, said), text)
            }
            None => {
                let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                let (url, text) = self.client.get_through(&url, |document| address_in(document, issuer)).await?;
                ((url, self.clock.stopwatch()), text)
            }
        };
        self.state().address = Some(address);
        Ok(text)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the issuer's keys are, by its discovery document.
fn address_in(document: &[u8], issuer: &str) -> Result<String, Away> {
    let document = json::object(document).ok_or(Away("its discovery document is no JSON object".to_owned()))?;
    // The document of another issuer would lead to the keys of another issuer (section 4.3).
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(Away("its discovery document is of another issuer than CRM_OIDC_ISSUER".to_owned()));
    }
    let keys = document.get("jwks_uri").and_then(Value::as_str);
    keys.map(str::to_owned).ok_or(Away("its discovery document has no jwks_uri".to_owned()))
}

/// Says which keys there are now, and what is wrong with the others.
pub(super) fn report(keys: &KeySet, skipped: &[String]) {
    tracing::info!(keys = keys.len(), "the keys of tokens have changed");
    for skipped in skipped {
        tracing::warn!(key = skipped, "a key of tokens is not used");
    }
    if keys.len() == 0 {
        tracing::warn!("there is no usable key: no token is accepted by its signature");
    }
}
