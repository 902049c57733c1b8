//! Metrics of events: those that go out, and those of the platform that come in.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use super::registrar::Registrar;

/// Metrics of events.
pub struct EventMetrics {
    /// 1 where a broker is configured, else 0.
    pub broker_configured: Gauge,
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
    /// How long ago the oldest event happened that was not published yet, in seconds.
    pub oldest_waiting: Gauge,
    /// Events that were refused, or wait behind a refused one of the same resource.
    pub blocked: Gauge,
    /// Events that were refused too often to be tried again by themselves.
    pub parked: Gauge,
    /// 1 while the platform's events are taken, else 0.
    pub inbound_connected: Gauge,
    /// Times that taking the platform's events could not start, or ended.
    pub inbound_failures: Counter,
    inbound: Family<InboundLabels, Counter<u64, AtomicU64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InboundLabels {
    outcome: InboundOutcome,
}

/// What became of an event of the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
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

impl InboundOutcome {
    const ALL: [Self; 5] = [Self::applied, Self::duplicate, Self::retried, Self::dead, Self::rejected];
}

impl EventMetrics {
    pub(super) fn new(new: &mut Registrar<'_>) -> Self {
        let metrics = Self {
            broker_configured: new.metric("broker_configured", "1 where a broker is configured, else 0"),
            published: new.metric("events_published", "Events that the broker confirmed"),
            unrouted: new.metric("events_unrouted", "Published events that no queue was bound to"),
            refused: new.metric("events_refused", "Refusals of events by the broker"),
            failures: new.metric("broker_failures", "Times the broker was not reached or did not answer"),
            breaker_open: new.metric("broker_breaker_open", "1 while the broker counts as down, else 0"),
            waiting: new.metric("events_waiting", "Events that were not sent yet"),
            oldest_waiting: new
                .metric("events_oldest_waiting_seconds", "Age of the oldest event that was not published yet"),
            blocked: new.metric("events_blocked", "Events refused, or waiting behind a refused one"),
            parked: new.metric("events_parked", "Events refused too often to be tried again"),
            inbound: new.metric("inbound_events", "Events of the platform, by outcome"),
            inbound_connected: new.metric("inbound_connected", "1 while the platform's events are taken, else 0"),
            inbound_failures: new.metric("inbound_failures", "Times taking the platform's events failed"),
        };
        // Counters that are there from the start can be alerted on.
        for outcome in InboundOutcome::ALL {
            drop(metrics.inbound.get_or_create(&InboundLabels { outcome }));
        }
        metrics
    }

    /// Counts an event of the platform.
    pub fn consumed(&self, outcome: InboundOutcome) {
        self.inbound.get_or_create(&InboundLabels { outcome }).inc();
    }
}
