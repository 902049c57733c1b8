//! Metrics, as Prometheus reads them at `/metrics`: OpenMetrics 1.0
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted.
pub struct Metrics {
    registry: Registry,
    /// Events that the broker confirmed.
    pub published: Counter,
    /// Refusals of events by the broker; an event may be refused more than once.
    pub refused: Counter,
    /// How often the broker could not be reached or did not answer.
    pub failures: Counter,
    /// 1 while the broker counts as down and is only tried now and then, else 0.
    pub breaker_open: Gauge,
    /// Events with a position that were not sent yet.
    pub waiting: Gauge,
    /// Events that were refused, or wait behind one of the same resource that was.
    pub held: Gauge,
    /// Events that were refused so often that they are tried no more.
    pub aside: Gauge,
    /// Events of the platform, by how they ended.
    pub inbound: Family<Ended, Counter<u64, AtomicU64>>,
}

/// How an event of the platform ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Ended {
    /// How.
    pub outcome: Inbound,
}

/// How an event of the platform can end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are written as they are named")]
pub enum Inbound {
    /// It was applied.
    applied,
    /// It had been applied before.
    duplicate,
    /// It cannot be applied.
    dead,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("crm");
        let (published, refused, failures) = (Counter::default(), Counter::default(), Counter::default());
        let (breaker_open, waiting, held, aside) =
            (Gauge::default(), Gauge::default(), Gauge::default(), Gauge::default());
        let inbound = Family::default();
        registry.register("events_published", "Events that the broker confirmed", published.clone());
        registry.register("events_refused", "Refusals of events by the broker", refused.clone());
        registry.register("broker_failures", "Times the broker was not reached or did not answer", failures.clone());
        registry.register("broker_breaker_open", "1 while the broker counts as down, else 0", breaker_open.clone());
        registry.register("events_waiting", "Events that were not sent yet", waiting.clone());
        registry.register("events_held", "Events refused, or waiting behind a refused one", held.clone());
        registry.register("events_aside", "Events refused too often to be tried again", aside.clone());
        registry.register("inbound_events", "Events of the platform, by how they ended", inbound.clone());
        Self { registry, published, refused, failures, breaker_open, waiting, held, aside, inbound }
    }
}

impl Metrics {
    /// All of it, as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let _infallible = text::encode(&mut text, &self.registry);
        text
    }
}
