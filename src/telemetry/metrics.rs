//! Metrics in the format of Prometheus: OpenMetrics 1.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of this process.
pub struct Metrics {
    registry: Registry,
    /// Events that the broker confirmed.
    pub published: Counter,
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
    /// Events of the platform, by outcome.
    pub inbound: Family<InboundLabels, Counter<u64, AtomicU64>>,
    /// 1 while the platform's events are taken, else 0.
    pub inbound_connected: Gauge,
    /// Times that taking the platform's events could not start, or ended.
    pub inbound_failures: Counter,
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
    /// It names a resource that is not there yet, and was put off.
    retried,
    /// It cannot be applied and became a dead letter.
    dead,
    /// It cannot be applied, and the broker would not take it as a dead letter.
    rejected,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("crm");
        let (published, refused, failures) = (Counter::default(), Counter::default(), Counter::default());
        let (breaker_open, waiting, blocked, parked) =
            (Gauge::default(), Gauge::default(), Gauge::default(), Gauge::default());
        let inbound = Family::default();
        registry.register("events_published", "Events that the broker confirmed", published.clone());
        registry.register("events_refused", "Refusals of events by the broker", refused.clone());
        registry.register("broker_failures", "Times the broker was not reached or did not answer", failures.clone());
        registry.register("broker_breaker_open", "1 while the broker counts as down, else 0", breaker_open.clone());
        registry.register("events_waiting", "Events that were not sent yet", waiting.clone());
        registry.register("events_blocked", "Events refused, or waiting behind a refused one", blocked.clone());
        registry.register("events_parked", "Events refused too often to be tried again", parked.clone());
        registry.register("inbound_events", "Events of the platform, by outcome", inbound.clone());
        let (inbound_connected, inbound_failures) = (Gauge::default(), Counter::default());
        registry.register(
            "inbound_connected",
            "1 while the platform's events are taken, else 0",
            inbound_connected.clone(),
        );
        registry.register("inbound_failures", "Times taking the platform's events failed", inbound_failures.clone());
        Self {
            registry,
            published,
            refused,
            failures,
            breaker_open,
            waiting,
            blocked,
            parked,
            inbound,
            inbound_connected,
            inbound_failures,
        }
    }
}

impl Metrics {
    /// All metrics, as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let _infallible = text::encode(&mut text, &self.registry);
        text
    }
}
