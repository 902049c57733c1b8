//! The metrics of this process: [`Metrics`], by area.

use prometheus_client::{
    encoding::{prometheus_text, text},
    registry::Registry,
};

use super::{
    auth_metrics::AuthMetrics,
    business_metrics::BusinessMetrics,
    database_metrics::DatabaseMetrics,
    event_metrics::EventMetrics,
    http_metrics::HttpMetrics,
    process_metrics,
    registrar::Registrar,
    span_metrics::SpanMetrics,
    upkeep_metrics::{AuditMetrics, UpkeepMetrics},
};
pub use super::{
    event_metrics::InboundOutcome,
    exposition::Exposition,
    http_metrics::HttpLimit,
    upkeep_metrics::{PurgedKind, RefusalOutcome},
};

/// The metrics of this process.
pub struct Metrics {
    registry: Registry,
    /// Requests, connections and limits.
    pub http: HttpMetrics,
    /// Tokens.
    pub auth: AuthMetrics,
    /// The database, its connections and the write executor.
    pub database: DatabaseMetrics,
    /// Events that go out, and that come in.
    pub events: EventMetrics,
    /// The audit trail.
    pub audit: AuditMetrics,
    /// What is done beside the requests.
    pub upkeep: UpkeepMetrics,
    /// Spans of traces.
    pub spans: SpanMetrics,
    /// What the service is for.
    pub business: BusinessMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        process_metrics::add_process(&mut registry);
        let ours = registry.sub_registry_with_prefix("crm");
        process_metrics::add_build(ours);
        let mut new = Registrar(ours);
        Self {
            http: HttpMetrics::new(&mut new),
            auth: AuthMetrics::new(&mut new),
            database: DatabaseMetrics::new(&mut new),
            events: EventMetrics::new(&mut new),
            audit: AuditMetrics::new(&mut new),
            upkeep: UpkeepMetrics::new(&mut new),
            spans: SpanMetrics::new(&mut new),
            business: BusinessMetrics::new(&mut new),
            registry,
        }
    }
}

impl Metrics {
    /// Counts a refusal because of a limit.
    pub fn refuse(&self, limit: HttpLimit) {
        self.http.refuse(limit);
    }

    /// All metrics, in OpenMetrics.
    #[must_use]
    pub fn text(&self) -> String {
        self.written_as(Exposition::OpenMetrics)
    }

    /// All metrics, in this format.
    #[must_use]
    pub fn written_as(&self, exposition: Exposition) -> String {
        let mut text = String::new();
        let _infallible = match exposition {
            Exposition::OpenMetrics => text::encode(&mut text, &self.registry),
            Exposition::Text => prometheus_text::encode(&mut text, &self.registry),
        };
        text
    }
}
