//! Metrics about tokens. No label names a tenant, a caller or a key.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use super::registrar::Registrar;

/// Metrics about tokens.
pub struct AuthMetrics {
    /// 1 while the platform counts as away at this endpoint and is asked only now and then, else 0.
    pub breaker_open: Family<EndpointLabels, Gauge>,
    /// Questions to the platform, by outcome.
    pub calls: Family<CallLabels, Counter<u64, AtomicU64>>,
    /// Tokens that were not accepted, by reason.
    pub refusals: Family<RefusalLabels, Counter<u64, AtomicU64>>,
    /// Tokens looked up among those that were checked before, and found there.
    cache_hits: Counter<u64, AtomicU64>,
    cache_misses: Counter<u64, AtomicU64>,
    /// Tokens that are remembered.
    pub cached: Gauge,
    /// Keys that verify tokens.
    pub keys: Gauge,
    /// Seconds since the keys were fetched last; 0 where they are not fetched, -1 where they never were.
    pub keys_age: Gauge,
}

/// The labels of [`AuthMetrics::breaker_open`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndpointLabels {
    /// What the platform is asked for.
    pub endpoint: AuthEndpoint,
}

/// What the platform is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are written as they are named")]
pub enum AuthEndpoint {
    /// The keys that tokens are signed with.
    keys,
    /// Whether a token is active.
    introspection,
}

/// The labels of [`AuthMetrics::calls`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// What the platform was asked for.
    pub endpoint: AuthEndpoint,
    /// What came of it.
    pub outcome: CallOutcome,
}

/// What came of a question to the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are written as they are named")]
pub enum CallOutcome {
    /// It answered.
    answered,
    /// It was not reached, or its answer is none.
    failed,
    /// It was not asked, because it counts as away.
    skipped,
}

/// The labels of [`AuthMetrics::refusals`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    /// Why.
    pub reason: TokenRefusal,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are written as they are named")]
pub enum TokenRefusal {
    /// It is meant for another audience.
    audience,
    /// A claim is missing or not what it must be.
    claims,
    /// It has expired, or is too old.
    expired,
    /// The platform says that it is not active.
    inactive,
    /// It is from another issuer.
    issuer,
    /// It is signed with a key that is not known.
    key,
    /// It has not the form of a token.
    malformed,
    /// It is not valid yet.
    not_yet_valid,
    /// Its signature is not right.
    signature,
    /// It is too long.
    too_large,
    /// The platform is away, and it cannot be checked without.
    unavailable,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    result: CacheResult,
}

/// Whether a token was found among those that were checked before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are written as they are named")]
enum CacheResult {
    hit,
    miss,
}

impl AuthMetrics {
    pub(super) fn new(new: &mut Registrar<'_>) -> Self {
        let cache: Family<CacheLabels, Counter<u64, AtomicU64>> =
            new.metric("auth_cache_lookups", "Tokens looked up among those checked before");
        let metrics = Self {
            breaker_open: new.metric("auth_breaker_open", "1 while the platform counts as away, else 0"),
            calls: new.metric("auth_calls", "Questions to the platform about tokens, by outcome"),
            refusals: new.metric("auth_refusals", "Tokens that were not accepted, by reason"),
            cache_hits: cache.get_or_create_owned(&CacheLabels { result: CacheResult::hit }),
            cache_misses: cache.get_or_create_owned(&CacheLabels { result: CacheResult::miss }),
            cached: new.metric("auth_cached_tokens", "Tokens that are remembered"),
            keys: new.metric("auth_keys", "Keys that verify tokens"),
            keys_age: new.metric("auth_keys_age_seconds", "Seconds since the keys were fetched; -1: never"),
        };
        // Counters that are there from the start can be alerted on.
        for endpoint in [AuthEndpoint::keys, AuthEndpoint::introspection] {
            drop(metrics.breaker_open.get_or_create(&EndpointLabels { endpoint }));
            for outcome in [CallOutcome::answered, CallOutcome::failed, CallOutcome::skipped] {
                drop(metrics.calls.get_or_create(&CallLabels { endpoint, outcome }));
            }
        }
        for reason in TokenRefusal::ALL {
            drop(metrics.refusals.get_or_create(&RefusalLabels { reason }));
        }
        metrics
    }

    /// Counts a token that was not accepted.
    pub fn refuse(&self, reason: TokenRefusal) {
        self.refusals.get_or_create(&RefusalLabels { reason }).inc();
    }

    /// Counts a question to the platform.
    pub fn called(&self, endpoint: AuthEndpoint, outcome: CallOutcome) {
        self.calls.get_or_create(&CallLabels { endpoint, outcome }).inc();
    }

    /// Counts a token that was looked up.
    pub fn looked_up(&self, found: bool) {
        if found { &self.cache_hits } else { &self.cache_misses }.inc();
    }

    /// Shows whether the platform counts as away at this endpoint.
    pub fn show_breaker(&self, endpoint: AuthEndpoint, is_open: bool) {
        self.breaker_open.get_or_create(&EndpointLabels { endpoint }).set(i64::from(is_open));
    }
}

impl TokenRefusal {
    const ALL: [Self; 11] = [
        Self::audience,
        Self::claims,
        Self::expired,
        Self::inactive,
        Self::issuer,
        Self::key,
        Self::malformed,
        Self::not_yet_valid,
        Self::signature,
        Self::too_large,
        Self::unavailable,
    ];
}
