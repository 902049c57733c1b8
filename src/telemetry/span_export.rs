//! Where spans go: to a collector, by OTLP (http/protobuf), in batches, on a thread of their own.
//!
//! Whatever the collector does, no request waits for it. What finds no room in the queue is dropped, and what the collector does
//! not take is lost; both are counted, and the log says once that it takes nothing, until it takes something again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanId, TraceId},
};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, IdGenerator, RandomIdGenerator, Sampler, SpanData, SpanExporter,
        SpanProcessor,
    },
};
use secrecy::{ExposeSecret, SecretString};

use super::span_metrics::SpanMetrics;

/// Where spans go, and which. Headers print as `[REDACTED]`.
#[derive(Debug, Clone)]
pub struct TraceExport {
    /// The collector's address for traces, with the path.
    pub endpoint: String,
    /// What it is sent besides, among it what says who sends.
    pub headers: Vec<(String, SecretString)>,
    /// How long it may take for a batch, with repetitions.
    pub timeout: Duration,
    /// The name of this service.
    pub service_name: String,
    /// What else is said of this service.
    pub attributes: Vec<(String, String)>,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// How many spans wait at most; further ones are dropped.
    pub queue: usize,
    /// How many spans are sent at once, at most.
    pub batch: usize,
    /// How long spans wait to be sent together, at most.
    pub delay: Duration,
}

/// Takes spans that have ended.
#[derive(Debug)]
pub(super) struct Recorder {
    pub sampler: Sampler,
    pub scope: InstrumentationScope,
    ids: RandomIdGenerator,
    processor: BatchSpanProcessor,
    /// How many spans have ended and are not sent yet.
    waiting: Arc<AtomicUsize>,
    queue: usize,
    metrics: SpanMetrics,
}

impl Recorder {
    /// Starts the thread that sends; nothing is sent, and nothing connected, before a span has ended.
    pub fn start(export: &TraceExport, metrics: &SpanMetrics) -> Result<Self, String> {
        let headers = export.headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect();
        let otlp = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&export.endpoint)
            .with_timeout(export.timeout)
            .with_headers(headers)
            .build();
        let waiting = Arc::<AtomicUsize>::default();
        let mut exporter = CountingExporter {
            otlp: otlp.map_err(|error| error.to_string())?,
            waiting: Arc::clone(&waiting),
            fails: AtomicBool::new(false),
            metrics: metrics.clone(),
        };
        exporter.set_resource(&resource(export));
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(export.queue)
            .with_max_export_batch_size(export.batch.min(export.queue))
            .with_scheduled_delay(export.delay)
            .build();
        Ok(Self {
            sampler: export.sampler.clone(),
            scope: InstrumentationScope::builder("crm").with_version(env!("CARGO_PKG_VERSION")).build(),
            ids: RandomIdGenerator::default(),
            processor: BatchSpanProcessor::new(exporter, batches),
            waiting,
            queue: export.queue,
            metrics: metrics.clone(),
        })
    }

    /// Puts a span into the queue, if there is room.
    pub fn record(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.metrics.dropped.inc();
            return;
        }
        self.processor.on_end(span);
    }

    pub fn new_span_id(&self) -> SpanId {
        self.ids.new_span_id()
    }

    pub fn new_trace_id(&self) -> TraceId {
        self.ids.new_trace_id()
    }

    /// Sends what waits, and blocks for so long at most. Spans that end later are lost.
    pub fn finish(&self, bound: Duration) {
        if self.processor.shutdown_with_timeout(bound).is_err() {
            let lost = self.waiting.load(Ordering::Relaxed);
            tracing::warn!(lost, "the collector did not take the last spans in time");
        }
    }
}

/// What is said of this service with all spans.
fn resource(export: &TraceExport) -> Resource {
    let attributes = export.attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attributes(attributes)
        .with_service_name(export.service_name.clone())
        .build()
}

/// Sends spans, counts what becomes of them, and says when that changes.
#[derive(Debug)]
struct CountingExporter {
    otlp: opentelemetry_otlp::SpanExporter,
    waiting: Arc<AtomicUsize>,
    /// Whether the last batch was not taken.
    fails: AtomicBool,
    metrics: SpanMetrics,
}

impl SpanExporter for CountingExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let outcome = self.otlp.export(batch).await;
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        let counted = if outcome.is_ok() { &self.metrics.exported } else { &self.metrics.failed };
        counted.inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
        match (&outcome, self.fails.swap(outcome.is_err(), Ordering::Relaxed)) {
            // The library's words: a status, or that the network failed. Neither an address nor a header is in them.
            (Err(error), false) => tracing::warn!(cause = %error, "the collector does not take spans: they are lost"),
            (Ok(()), true) => tracing::info!("the collector takes spans again"),
            _ => {}
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.otlp.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}
