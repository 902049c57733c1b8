//! What was found out about tokens: by the hash of each, bounded, and with nothing in it that could be used as a token. What
//! depends on the time is checked again at each use.

use std::{sync::Arc, time::Duration};

use quick_cache::{Weighter, sync::Cache};

use super::{
    key::{KeyId, hash},
    policy::Checked,
    refusal::Refusal,
};
use crate::values::{Clock, Stopwatch};

/// How much is remembered, in bytes.
const CAPACITY: u64 = 16 * 1024 * 1024;
/// About how many tokens that is.
const TOKENS: usize = 32_768;
/// How many are remembered that the platform said are not active.
const INACTIVE: usize = 8192;
/// What an entry takes besides its texts, in bytes.
const ENTRY: usize = 256;

/// The SHA-256 of a token.
pub(super) type TokenHash = [u8; 32];

/// The tokens that were checked.
pub(super) struct TokenCache {
    valid: Cache<TokenHash, Known, ByBytes>,
    inactive: Cache<TokenHash, (Refusal, Duration)>,
    running: Stopwatch,
}

/// What is known of a valid token.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) checked: Arc<Checked>,
    /// The key that verified it; `None` where the platform said it.
    pub(super) key: Option<KeyId>,
    at: Duration,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<TokenHash, Known> for ByBytes {
    fn weight(&self, _: &TokenHash, known: &Known) -> u64 {
        let claims = &known.checked.claims;
        let names = claims.bearer.subject.iter().chain(&claims.bearer.client);
        let texts = names.chain(claims.bearer.tenants.iter().flatten()).chain(&claims.scopes);
        texts.map(|text| text.len() + size_of::<String>()).sum::<usize>().saturating_add(ENTRY) as u64
    }
}

impl TokenCache {
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            valid: Cache::with_weighter(TOKENS, CAPACITY, ByBytes),
            inactive: Cache::new(INACTIVE),
            running: clock.stopwatch(),
        }
    }

    /// By what a token is found.
    pub(super) fn hash(token: &str) -> TokenHash {
        hash(token.as_bytes())
    }

    pub(super) fn get(&self, token: &TokenHash) -> Option<Known> {
        self.valid.get(token)
    }

    /// How long ago it was checked.
    pub(super) fn age(&self, known: &Known) -> Duration {
        self.running.elapsed().saturating_sub(known.at)
    }

    /// Remembers a valid token.
    pub(super) fn insert(&self, token: TokenHash, checked: Arc<Checked>, key: Option<KeyId>) {
        self.inactive.remove(&token);
        self.valid.insert(token, Known { checked, key, at: self.running.elapsed() });
    }

    /// Forgets a token.
    pub(super) fn remove(&self, token: &TokenHash) {
        self.valid.remove(token);
    }

    /// Why the platform does not accept a token, by what it said less than this long ago.
    pub(super) fn refusal(&self, token: &TokenHash, max_age: Duration) -> Option<Refusal> {
        let (refusal, at) = self.inactive.get(token)?;
        (self.running.elapsed().saturating_sub(at) < max_age).then_some(refusal)
    }

    /// Remembers that the platform does not accept a token.
    pub(super) fn refuse(&self, token: TokenHash, refusal: Refusal) {
        self.valid.remove(&token);
        self.inactive.insert(token, (refusal, self.running.elapsed()));
    }

    /// Forgets the valid tokens that this is not true of.
    pub(super) fn retain(&self, keep: impl Fn(&Known) -> bool) {
        self.valid.retain(|_, known| keep(known));
    }

    /// How many valid ones are remembered.
    pub(super) fn len(&self) -> usize {
        self.valid.len()
    }
}
