//! Metrics of HTTP: connections, and what limits refuse. Requests by operation are in [`super::request_metrics`].

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use super::{registrar::Registrar, request_metrics::RequestMetrics};

/// Metrics of HTTP.
pub struct HttpMetrics {
    /// Open connections.
    pub connections: Gauge,
    /// The most connections that the main listener takes; 0 until it listens.
    pub connections_max: Gauge,
    /// Requests that are being answered.
    pub requests_in_flight: Gauge,
    /// The most requests that are answered at once.
    pub requests_in_flight_max: Gauge,
    /// Requests whose key was used before (409).
    pub idempotency_conflicts: Counter,
    /// Readers who wait for events.
    pub event_waiters: Gauge,
    /// By method, route and status.
    pub requests: RequestMetrics,
    refused: Family<LimitLabels, Counter<u64, AtomicU64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    /// The limit that was reached.
    limit: HttpLimit,
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

impl HttpMetrics {
    pub(super) fn new(new: &mut Registrar<'_>) -> Self {
        let metrics = Self {
            connections: new.metric("http_connections", "Open connections, those of the private listener included"),
            connections_max: new.metric("http_connections_max", "Connections that the main listener takes at most"),
            requests_in_flight: new.metric("http_requests_in_flight", "Requests that are being answered"),
            requests_in_flight_max: new
                .metric("http_requests_in_flight_max", "Requests that are answered at once at most"),
            idempotency_conflicts: new.metric("idempotency_conflicts", "Requests whose key was used before (409)"),
            event_waiters: new.metric("http_event_waiters", "Readers who wait for events"),
            refused: new.metric("http_refused", "Requests and connections refused, by the limit reached"),
            requests: RequestMetrics::new(new),
        };
        // Counters that are there from the start can be alerted on.
        for limit in HttpLimit::ALL {
            drop(metrics.refused.get_or_create(&LimitLabels { limit }));
        }
        metrics
    }

    /// Counts a refusal because of a limit.
    pub fn refuse(&self, limit: HttpLimit) {
        self.refused.get_or_create(&LimitLabels { limit }).inc();
    }
}
