//! Metrics in the format of Prometheus: OpenMetrics 1.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{auth_metrics::AuthMetrics, business_metrics::BusinessMetrics, registrar::Registrar};

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of this process.
pub struct Metrics {
    registry: Registry,
    /// Events that the broker confirmed.
    pub published: Counter,
    /// Published events that nobody was bound to, and so nobody received.
    pub unrouted: Counter,
    /// Refusals of events by the broker; an event may be refused more than once.
    pub refused: Counter,
    /// Times that the broker could not be reached or did not answer.
    pub failures: Counter,
    /// 1 while the broker counts as down and is tried only now and then, else 0.
    pub breaker_open: Gauge,
    /// Events with a position that were not sent yet.
    pub waiting: Gauge,
    /// Events that were refused, or wait behind a refused one of the same resource.
    pub blocked: Gauge,
    /// Events that were refused too often to be tried again by themselves.
    pub parked: Gauge,
    /// Deleted resources whose rows are still there; at most 20 are counted.
    pub deletions_pending: Gauge,
    /// Changes of the totals of lists and of the pipeline that were not folded yet, when last looked at.
    pub count_changes_waiting: Gauge,
    /// Erasures that are not complete yet.
    pub erasures_pending: Gauge,
    /// Seconds by which the clock is ahead of what the retention believes, while that waits to be confirmed, else 0.
    pub retention_waiting: Gauge,
    /// Events of the platform, by outcome.
    pub inbound: Family<InboundLabels, Counter<u64, AtomicU64>>,
    /// 1 while the platform's events are taken, else 0.
    pub inbound_connected: Gauge,
    /// Times that taking the platform's events could not start, or ended.
    pub inbound_failures: Counter,
    /// Open connections.
    pub connections: Gauge,
    /// Requests that are being answered.
    pub requests_in_flight: Gauge,
    /// Requests and connections refused because a limit was reached.
    pub http_refused: Family<LimitLabels, Counter<u64, AtomicU64>>,
    /// Requests that a caller was refused (403, 409), by what the audit trail has of them.
    pub audit_refusals: Family<RefusalLabels, Counter<u64, AtomicU64>>,
    /// About tokens.
    pub auth: AuthMetrics,
    /// About what the service is for.
    pub business: BusinessMetrics,
}

/// The labels of [`Metrics::audit_refusals`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    /// What the audit trail has of it.
    pub outcome: RefusalOutcome,
}

/// What the audit trail has of a refusal, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are written as they are named")]
pub enum RefusalOutcome {
    /// An entry of its own.
    recorded,
    /// An entry that counts it together with others.
    collapsed,
    /// Nothing: too many tenants had refusals at once.
    dropped,
}

/// The labels of [`Metrics::http_refused`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LimitLabels {
    /// The limit that was reached.
    pub limit: HttpLimit,
}

/// A limit of HTTP, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are written as they are named")]
pub enum HttpLimit {
    /// The size of a body.
    body_size,
    /// The time that a body may take to arrive.
    body_time,
    /// The requests per second of a caller.
    caller_rate,
    /// The connections of a peer.
    connections_per_peer,
    /// The connections in all: an idle one was closed for a new one.
    connections,
    /// The readers that wait for events.
    event_waiters,
    /// The size of a request's head.
    head_size,
    /// The time that a request's head may take to arrive.
    head_time,
    /// The time that a client may leave a reply unread.
    reply_time,
    /// The requests that are answered at once.
    requests_in_flight,
    /// The time that a request may take to be answered.
    request_time,
    /// The requests per second of a tenant.
    tenant_rate,
    /// The requests of a tenant that are answered at once.
    tenant_requests_in_flight,
    /// The size of a token.
    token_size,
    /// The length of a URL.
    url_size,
}

impl HttpLimit {
    const ALL: [Self; 15] = [
        Self::body_size,
        Self::body_time,
        Self::caller_rate,
        Self::connections_per_peer,
        Self::connections,
        Self::event_waiters,
        Self::head_size,
        Self::head_time,
        Self::reply_time,
        Self::requests_in_flight,
        Self::request_time,
        Self::tenant_rate,
        Self::tenant_requests_in_flight,
        Self::token_size,
        Self::url_size,
    ];
}

/// The labels of [`Metrics::inbound`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct InboundLabels {
    /// What became of the event.
    pub outcome: InboundOutcome,
}

/// What became of an event of the platform.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are written as they are named")]
pub enum InboundOutcome {
    /// It was applied.
    applied,
    /// It had been applied before.
    duplicate,
    /// It names a resource that is not there yet, and was delayed.
    retried,
    /// It cannot be applied and became a dead letter.
    dead,
    /// It cannot be applied, and the broker would not take it as a dead letter.
    rejected,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("crm");
        let mut new = Registrar(&mut registry);
        let metrics = Self {
            published: new.metric("events_published", "Events that the broker confirmed"),
            unrouted: new.metric("events_unrouted", "Published events that no queue was bound to"),
            refused: new.metric("events_refused", "Refusals of events by the broker"),
            failures: new.metric("broker_failures", "Times the broker was not reached or did not answer"),
            breaker_open: new.metric("broker_breaker_open", "1 while the broker counts as down, else 0"),
            waiting: new.metric("events_waiting", "Events that were not sent yet"),
            blocked: new.metric("events_blocked", "Events refused, or waiting behind a refused one"),
            parked: new.metric("events_parked", "Events refused too often to be tried again"),
            deletions_pending: new.metric("deletions_pending", "Deleted resources with rows left, up to 20"),
            count_changes_waiting: new.metric(
                "count_changes_waiting",
                "Changes of kept totals that were not folded yet when last looked at, up to 10000",
            ),
            erasures_pending: new.metric("erasures_pending", "Erasures that are not complete yet"),
            retention_waiting: new.metric(
                "retention_waiting_seconds",
                "How far the clock is ahead of the retention while that waits to be confirmed, else 0",
            ),
            inbound: new.metric("inbound_events", "Events of the platform, by outcome"),
            inbound_connected: new.metric("inbound_connected", "1 while the platform's events are taken, else 0"),
            inbound_failures: new.metric("inbound_failures", "Times taking the platform's events failed"),
            connections: new.metric("http_connections", "Open connections, those of the private listener included"),
            requests_in_flight: new.metric("http_requests_in_flight", "Requests that are being answered"),
            http_refused: new.metric("http_refused", "Requests and connections refused, by the limit reached"),
            audit_refusals: new.metric("audit_refusals", "Requests refused, by what the audit trail has of them"),
            auth: AuthMetrics::new(&mut new),
            business: BusinessMetrics::new(&mut new),
            registry,
        };
        // Counters that are there from the start can be alerted on.
        for limit in HttpLimit::ALL {
            drop(metrics.http_refused.get_or_create(&LimitLabels { limit }));
        }
        for outcome in [RefusalOutcome::recorded, RefusalOutcome::collapsed, RefusalOutcome::dropped] {
            drop(metrics.audit_refusals.get_or_create(&RefusalLabels { outcome }));
        }
        metrics
    }
}

impl Metrics {
    /// Counts a refusal because of a limit.
    pub fn refuse(&self, limit: HttpLimit) {
        self.http_refused.get_or_create(&LimitLabels { limit }).inc();
    }

    /// Counts a request that a caller was refused.
    pub fn refusal(&self, outcome: RefusalOutcome) {
        self.audit_refusals.get_or_create(&RefusalLabels { outcome }).inc();
    }

    /// All metrics, as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let _infallible = text::encode(&mut text, &self.registry);
        text
    }
}
