//! How long a change waits.

use tokio::time::Instant;

use crate::{
    database::executor::unit_of_work::WAIT,
    telemetry::{database_metrics::DatabaseMetrics, span::Span},
};

/// A change that waits for its transaction to begin, until this is dropped.
pub(super) struct Waiting {
    metrics: DatabaseMetrics,
    since: Instant,
    _span: Span,
}

impl Waiting {
    pub(super) fn new(metrics: &DatabaseMetrics) -> Self {
        metrics.writes_waiting.inc();
        Self { metrics: metrics.clone(), since: Instant::now(), _span: Span::of_current(WAIT) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.metrics.writes_waiting.dec();
        self.metrics.write_wait.observe(self.since.elapsed().as_secs_f64());
    }
}
