//! Metrics of a standby that requests are read from.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use super::registrar::Registrar;

/// Metrics of a standby. Clones are the same.
#[derive(Clone)]
pub struct StandbyMetrics {
    /// 1 where there is one.
    pub configured: Gauge,
    /// 1 while it is read.
    pub works: Gauge,
    /// Requests that were read from it.
    pub reads: Counter,
    passed_over: Family<WhyLabels, Counter>,
    lag: Gauge<f64, AtomicU64>,
    missing: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhyLabels {
    why: WhyPrimary,
}

/// Why a request that a standby may answer is read from the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "label values are written as they are named")]
pub enum WhyPrimary {
    /// This process has written for the tenant not long ago.
    own_write,
    /// The standby has not replayed what must be read.
    behind,
    /// It is not read by anybody now.
    unavailable,
    /// It was asked, and did not answer the request.
    failed,
}

impl WhyPrimary {
    const ALL: [Self; 4] = [Self::own_write, Self::behind, Self::unavailable, Self::failed];
}

impl StandbyMetrics {
    pub(super) fn new(new: &mut Registrar<'_>) -> Self {
        let metrics = Self {
            configured: new.metric("standby_configured", "1 where requests are read from a standby, else 0"),
            works: new.metric("standby_works", "1 while the standby is read, else 0"),
            reads: new.metric("standby_reads", "Requests that were read from the standby"),
            passed_over: new.metric(
                "standby_passed_over",
                "Requests that were read from the primary although there is a standby, by why",
            ),
            lag: new.metric("standby_lag_seconds", "How far the standby is behind the primary, in time"),
            missing: new.metric("standby_missing_bytes", "How much of the primary's log the standby has not replayed"),
        };
        for why in WhyPrimary::ALL {
            let _at_zero = metrics.passed_over.get_or_create(&WhyLabels { why });
        }
        metrics
    }

    /// A request is read from the primary.
    pub fn pass_over(&self, why: WhyPrimary) {
        self.passed_over.get_or_create(&WhyLabels { why }).inc();
    }

    /// Shows how far the standby is behind.
    pub fn show(&self, lag: Duration, missing: u64) {
        self.lag.set(lag.as_secs_f64());
        self.missing.set(i64::try_from(missing).unwrap_or(i64::MAX));
    }
}
