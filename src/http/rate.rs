//! Rates: how many requests a tenant and a caller may send, off by default.
//!
//! A request is counted once its token has identified the caller, whatever becomes of it. The reply says what is left, in the
//! headers of the IETF's draft (draft-ietf-httpapi-ratelimit-headers, version 10); one that is refused also says when to come
//! again. Each process counts for itself.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use poem::{
    Request,
    http::{HeaderMap, HeaderName, HeaderValue, header::RETRY_AFTER},
};
use quick_cache::sync::Cache;

use crate::{
    auth::Bearer,
    config::Rate,
    error::{Error, Result},
    telemetry::metrics::{HttpLimit, Metrics},
    values::Tenant,
};

/// The tenants, and the callers, that are told apart: of more than these the ones that have been silent for longest begin anew.
const KEYS: usize = 10_000;

/// What is left of each limit.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The limits.
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The rates that are configured.
pub struct RateLimits {
    tenant: Option<Limit>,
    caller: Option<Limit>,
    metrics: Arc<Metrics>,
}

type Bucket = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// One rate, for each of many keys.
struct Limit {
    name: &'static str,
    counted_as: HttpLimit,
    rate: Rate,
    quota: Quota,
    buckets: Cache<String, Arc<Bucket>>,
}

/// What the rates say of a request, for its reply. Put into each request.
#[derive(Debug, Clone, Default)]
pub(super) struct RateReport(Arc<OnceLock<Vec<Remaining>>>);

/// What is left of a limit.
#[derive(Debug, Clone, Copy)]
struct Remaining {
    name: &'static str,
    rate: Rate,
    requests: u32,
    /// Until a request may come again, or all of them.
    wait: Duration,
    refused: bool,
}

impl RateLimits {
    /// The rates of the configuration.
    #[must_use]
    pub fn new(tenant: Option<Rate>, caller: Option<Rate>, metrics: Arc<Metrics>) -> Self {
        let limit = |name, counted_as, rate: Option<Rate>| rate.and_then(|rate| Limit::new(name, counted_as, rate));
        Self {
            tenant: limit("tenant", HttpLimit::tenant_rate, tenant),
            caller: limit("caller", HttpLimit::caller_rate, caller),
            metrics,
        }
    }

    /// Counts a request of a token's bearer for a tenant, which need not be known.
    ///
    /// # Errors
    /// Too many, if a rate is exceeded.
    pub fn admit(&self, request: &Request, tenant: Option<&Tenant>, bearer: &Bearer) -> Result<()> {
        let tenant = self.tenant.as_ref().zip(tenant.map(|tenant| tenant.as_str().to_owned()));
        let caller = self.caller.as_ref().map(|limit| (limit, caller(bearer)));
        let mut report = Vec::new();
        let mut refused = None;
        // The caller first: what it alone does must not cost its tenant anything.
        for (limit, key) in [caller, tenant].into_iter().flatten() {
            let remaining = limit.take(&key);
            report.push(remaining);
            if remaining.refused {
                self.metrics.refuse(limit.counted_as);
                refused = Some(limit);
                break;
            }
        }
        if let Some(to) = request.extensions().get::<RateReport>().filter(|_| !report.is_empty()) {
            let _first_wins = to.0.set(report);
        }
        refused.map_or(Ok(()), |limit| Err(limit.error()))
    }
}

/// Who is held to the rate of a caller. A name means the same caller only within one tenant, if the token is of one; a caller
/// that may choose the tenant is one caller in all of them. Those without a name are one caller together.
fn caller(bearer: &Bearer) -> String {
    let tenant = match bearer.tenants.as_deref() {
        Some([named]) => Tenant::parse(named),
        _ => None,
    };
    let name = bearer.subject.as_deref().or(bearer.client.as_deref());
    let tenant = tenant.as_ref().map(Tenant::as_str).unwrap_or_default();
    // A tenant has no such character, and an empty name is none.
    format!("{tenant}\0{}", name.unwrap_or_default())
}

impl Limit {
    fn new(name: &'static str, counted_as: HttpLimit, rate: Rate) -> Option<Self> {
        let quota = Quota::with_period(rate.window / rate.requests.get())?.allow_burst(rate.requests);
        Some(Self { name, counted_as, rate, quota, buckets: Cache::new(KEYS) })
    }

    fn take(&self, key: &str) -> Remaining {
        let new = || Arc::new(RateLimiter::direct(self.quota).with_middleware());
        // Of two that make it at once one is lost, and with it a request that is not counted.
        let bucket = self.buckets.get(key).unwrap_or_else(|| {
            let bucket = new();
            self.buckets.insert(key.to_owned(), Arc::clone(&bucket));
            bucket
        });
        let (requests, wait, refused) = match bucket.check() {
            Ok(state) => {
                let left = state.remaining_burst_capacity();
                (left, self.period() * self.rate.requests.get().saturating_sub(left), false)
            }
            Err(until) => (0, until.wait_time_from(DefaultClock::default().now()), true),
        };
        Remaining { name: self.name, rate: self.rate, requests, wait, refused }
    }

    /// The time in which one request is given back.
    fn period(&self) -> Duration {
        self.rate.window / self.rate.requests.get()
    }

    fn error(&self) -> Error {
        let Rate { requests, window } = self.rate;
        let unit = if window == Duration::from_secs(1) { "second" } else { "minute" };
        Error::too_many(format!("the {} may send {requests} requests per {unit}", self.name))
    }
}

impl RateReport {
    pub(super) fn set_headers(&self, headers: &mut HeaderMap) {
        let Some(report) = self.0.get() else { return };
        let list = |item: fn(&Remaining) -> String| {
            HeaderValue::try_from(report.iter().map(item).collect::<Vec<_>>().join(", ")).ok()
        };
        let remaining = list(|one| format!("\"{}\";r={};t={}", one.name, one.requests, seconds(one.wait)));
        let policy = list(|one| format!("\"{}\";q={};w={}", one.name, one.rate.requests, one.rate.window.as_secs()));
        let wait = report.iter().find(|one| one.refused).map(|one| HeaderValue::from(seconds(one.wait)));
        for (name, value) in [(RATE_LIMIT, remaining), (RATE_LIMIT_POLICY, policy), (RETRY_AFTER, wait)] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
    }
}

/// Whole seconds, rounded up: who comes back after them is not too early.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
