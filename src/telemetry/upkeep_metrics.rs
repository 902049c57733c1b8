//! Metrics of what is done beside the requests: the audit trail, removals, erasures, retention, sealed values.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use super::registrar::Registrar;

/// Metrics of the audit trail.
pub struct AuditMetrics {
    /// Entries of readings and refusals that wait in memory to be written.
    pub waiting: Gauge,
    /// Those that were lost.
    pub lost: Counter,
    /// Entries that are not chained yet, up to 10,000.
    pub unchained: Gauge,
    /// How long ago the oldest of them was written, in seconds.
    pub chain_lag: Gauge,
    refusals: Family<RefusalLabels, Counter<u64, AtomicU64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    outcome: RefusalOutcome,
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

/// Metrics of what is removed, and of what stored values need.
pub struct UpkeepMetrics {
    /// Deleted resources whose rows are still there; at most 20 are counted.
    pub deletions_pending: Gauge,
    /// Changes of the totals of lists and of the pipeline that were not folded yet, when last looked at.
    pub count_changes_waiting: Gauge,
    /// Erasures that are not complete yet.
    pub erasures_pending: Gauge,
    /// Seconds by which the clock is ahead of what the retention believes, while that waits to be confirmed, else 0.
    pub retention_waiting: Gauge,
    /// When the retention was last done, in seconds since 1970; 0 before the first time.
    pub retention_finished: Gauge,
    /// Sealed values that did not open.
    pub seal_failures: Counter,
    /// Lines of the log that were dropped, because standard error was not read.
    pub log_lines_dropped: Counter,
    purged: Family<PurgeLabels, Counter<u64, AtomicU64>>,
    task_failures: Family<TaskLabels, Counter<u64, AtomicU64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PurgeLabels {
    kind: PurgedKind,
}

/// What the retention deletes, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are written as they are named")]
pub enum PurgedKind {
    /// Entries of the audit trail.
    audit_entries,
    /// Deletions, of which `/changes` told.
    deletions,
    /// Events.
    events,
    /// Ids of accepted requests, and of the platform's events that were applied.
    request_ids,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabels {
    task: &'static str,
}

impl PurgedKind {
    const ALL: [Self; 4] = [Self::audit_entries, Self::deletions, Self::events, Self::request_ids];
}

impl AuditMetrics {
    pub(super) fn new(new: &mut Registrar<'_>) -> Self {
        let metrics = Self {
            waiting: new.metric("audit_waiting", "Audit entries of readings and refusals that wait to be written"),
            lost: new.metric("audit_lost", "Audit entries of readings and refusals that were lost"),
            unchained: new.metric("audit_unchained", "Audit entries that are not chained yet, up to 10000"),
            chain_lag: new.metric("audit_chain_lag_seconds", "Age of the oldest audit entry that is not chained yet"),
            refusals: new.metric("audit_refusals", "Requests refused, by what the audit trail has of them"),
        };
        for outcome in [RefusalOutcome::recorded, RefusalOutcome::collapsed, RefusalOutcome::dropped] {
            drop(metrics.refusals.get_or_create(&RefusalLabels { outcome }));
        }
        metrics
    }

    /// Counts a request that a caller was refused.
    pub fn refusal(&self, outcome: RefusalOutcome) {
        self.refusals.get_or_create(&RefusalLabels { outcome }).inc();
    }
}

impl UpkeepMetrics {
    pub(super) fn new(new: &mut Registrar<'_>) -> Self {
        let metrics = Self {
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
            retention_finished: new.metric(
                "retention_finished_timestamp_seconds",
                "When the retention was last done, in seconds since 1970",
            ),
            seal_failures: new.metric("seal_failures", "Sealed phone numbers and e-mail addresses that did not open"),
            log_lines_dropped: new
                .metric("log_lines_dropped", "Lines of the log that were dropped, because nobody read it"),
            purged: new.metric("purged", "Rows that the retention deleted, by kind"),
            task_failures: new.metric("task_failures", "Steps of background tasks that failed, by task"),
        };
        for kind in PurgedKind::ALL {
            drop(metrics.purged.get_or_create(&PurgeLabels { kind }));
        }
        metrics
    }

    /// Counts rows that the retention deleted.
    pub fn purged(&self, kind: PurgedKind, rows: u64) {
        self.purged.get_or_create(&PurgeLabels { kind }).inc_by(rows);
    }

    /// What the failed steps of a background task are counted by.
    #[must_use]
    pub fn failures_of(&self, task: &'static str) -> Counter<u64, AtomicU64> {
        self.task_failures.get_or_create_owned(&TaskLabels { task })
    }
}
