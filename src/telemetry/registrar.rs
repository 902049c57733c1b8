//! How a metric is made.

use std::{fmt, hash::Hash};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, histogram::Histogram},
    registry::{Metric, Registry},
};

/// Histograms by labels.
pub(super) type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Makes metrics that the registry knows.
pub(super) struct Registrar<'r>(pub(super) &'r mut Registry);

impl Registrar<'_> {
    pub(super) fn metric<M: Metric + Default + Clone>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }

    /// A histogram with these upper bounds.
    pub(super) fn histogram(&mut self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        let histogram = Histogram::new(bounds.iter().copied());
        self.0.register(name, help, histogram.clone());
        histogram
    }

    /// Histograms by labels, which `make` makes.
    pub(super) fn histograms<L>(&mut self, name: &str, help: &str, make: fn() -> Histogram) -> Histograms<L>
    where
        L: EncodeLabelSet + Clone + Hash + Eq + fmt::Debug + Send + Sync + 'static,
    {
        let family = Family::new_with_constructor(make);
        self.0.register(name, help, family.clone());
        family
    }
}
