//! Metrics of the spans that go to a collector.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family},
};

use super::registrar::Registrar;

/// Metrics of spans. Clones share them.
#[derive(Debug, Clone)]
pub struct SpanMetrics {
    /// Those that the collector took.
    pub exported: Counter,
    /// Those that it did not take.
    pub failed: Counter,
    /// Those for which there was no room in the queue.
    pub dropped: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SpanLabels {
    outcome: SpanOutcome,
}

/// What became of a span, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are written as they are named")]
enum SpanOutcome {
    exported,
    failed,
    dropped,
}

impl SpanMetrics {
    pub(super) fn new(new: &mut Registrar<'_>) -> Self {
        let spans: Family<SpanLabels, Counter<u64, AtomicU64>> =
            new.metric("spans", "Spans of traces that ended, by what became of them at the collector");
        let counter = |outcome| spans.get_or_create_owned(&SpanLabels { outcome });
        Self {
            exported: counter(SpanOutcome::exported),
            failed: counter(SpanOutcome::failed),
            dropped: counter(SpanOutcome::dropped),
        }
    }
}
