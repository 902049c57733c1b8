//! How a metric is made.

use prometheus_client::registry::{Metric, Registry};

/// Makes metrics that the registry knows.
pub(super) struct Registrar<'r>(pub(super) &'r mut Registry);

impl Registrar<'_> {
    pub(super) fn metric<M: Metric + Default + Clone>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }
}
