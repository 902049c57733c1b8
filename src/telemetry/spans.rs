//! The spans that begin in this process, and end what goes on there: those of requests, of events that are sent, and of events
//! that are taken. What is between is found by itself: see [`super::span`].
//!
//! | span | kind | parent |
//! |---|---|---|
//! | `POST /customers` | server | the caller's |
//! | `create crm.events` | producer | the transaction that writes the event; its id is in the event's `traceparent` |
//! | `send crm.events` | client | `create crm.events` |
//! | `process crm.inbound` | consumer | the sender's |

use std::{fmt, sync::Arc, time::Duration};

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{SamplingDecision, ShouldSample};
use uuid::Uuid;

use super::{
    span::{Parent, Place, Span},
    span_export::{Recorder, TraceExport},
    span_metrics::SpanMetrics,
    trace::{Trace, TraceParent, parse},
};

/// How long the end of the service waits for the collector.
const PATIENCE: Duration = Duration::from_secs(3);

/// The methods that a span's name may have.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// Begins spans; nothing where traces are off. Cheap to clone.
#[derive(Clone, Default)]
pub struct Spans(Option<Arc<Recorder>>);

impl Spans {
    /// What sends spans there; without it, nothing is recorded.
    ///
    /// # Errors
    /// Why it cannot send there.
    pub fn start(export: Option<&TraceExport>, metrics: &SpanMetrics) -> Result<Self, String> {
        Ok(Self(export.map(|export| Recorder::start(export, metrics)).transpose()?.map(Arc::new)))
    }

    /// The span of a request, which has the trace's id of this service. The trace then says whether it is recorded.
    pub fn server(&self, trace: &mut Trace, method: &str, route: Option<&str>) -> Span {
        let Some(recorder) = &self.0 else { return Span::nothing() };
        let (Some(id), Some(span)) = (trace_id(&trace.id()), span_id(trace.span_id())) else { return Span::nothing() };
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("_OTHER");
        let name = match (route, method) {
            (Some(route), method) => format!("{method} {route}"),
            (None, "_OTHER") => "HTTP".to_owned(),
            (None, method) => method.to_owned(),
        };
        let parent = trace.parent();
        let recorded = samples(recorder, parent, id, &name, &SpanKind::Server);
        let place = Place { trace: id, span, parent: parent_id(parent), remote: parent.is_some() };
        trace.mark_recorded(recorded);
        if !recorded {
            return Span::nothing();
        }
        let mut span = Span::begin(Arc::clone(recorder), place, SpanKind::Server, name.into());
        span.set("http.request.method", method);
        if let Some(route) = route {
            span.set_text("http.route", route);
        }
        span
    }

    /// The span of sending a message whose `traceparent` this is; its consumers are told that it is recorded.
    pub fn send(&self, traceparent: &mut String) -> Span {
        let Some(recorder) = &self.0 else { return Span::nothing() };
        let Some(made) = parse(traceparent) else { return Span::nothing() };
        let Some(trace) = trace_id(made.trace) else { return Span::nothing() };
        let name = "send crm.events";
        // What was decided where it was made is not kept with it: the same is decided by the trace's id.
        if !samples(recorder, None, trace, name, &SpanKind::Client) {
            return Span::nothing();
        }
        let place = Place { trace, span: recorder.new_span_id(), parent: parent_id(Some(made)), remote: true };
        *traceparent = format!("00-{}-{}-01", made.trace, made.span);
        Span::begin(Arc::clone(recorder), place, SpanKind::Client, name.into())
    }

    /// The span of applying a message, under its sender's, if it names one; else in the trace with this id.
    pub fn process(&self, traceparent: Option<&str>, fallback: impl FnOnce() -> Option<String>) -> Span {
        let Some(recorder) = &self.0 else { return Span::nothing() };
        let parent = traceparent.and_then(parse);
        let trace = match parent {
            Some(parent) => trace_id(parent.trace),
            None => fallback().as_deref().and_then(trace_id),
        };
        let (trace, name) = (trace.unwrap_or_else(|| recorder.new_trace_id()), "process crm.inbound");
        if !samples(recorder, parent, trace, name, &SpanKind::Consumer) {
            return Span::nothing();
        }
        let place = Place { trace, span: recorder.new_span_id(), parent: parent_id(parent), remote: parent.is_some() };
        Span::begin(Arc::clone(recorder), place, SpanKind::Consumer, name.into())
    }

    /// Sends what has ended, and gives up after a few seconds.
    pub async fn finish(&self) {
        if let Some(recorder) = self.0.clone() {
            let _over = tokio::task::spawn_blocking(move || recorder.finish(PATIENCE)).await;
        }
    }
}

/// The span of an event that is made here, under which it is sent and taken: the one in its `traceparent`.
pub fn event(event_type: &str, id: Uuid) {
    let mut span = Parent::current().message("create crm.events", SpanId::from(id.as_u64_pair().1));
    messaging(&mut span, "create", "crm.events", event_type, id);
}

/// Says of a span about which message it is.
pub fn messaging(
    span: &mut Span,
    operation: &'static str,
    place: &'static str,
    event_type: &str,
    id: impl fmt::Display,
) {
    span.set("messaging.operation.name", operation);
    span.set("messaging.operation.type", operation);
    span.set("messaging.destination.name", place);
    span.set_text("messaging.message.id", id);
    span.set_text("crm.event.type", event_type);
}

/// Whether a span is recorded.
fn samples(recorder: &Recorder, parent: Option<TraceParent<'_>>, trace: TraceId, name: &str, kind: &SpanKind) -> bool {
    let context = parent.map(|parent| {
        let flags = TraceFlags::default().with_sampled(parent.sampled);
        let parent = SpanContext::new(trace, parent_id(Some(parent)), flags, true, TraceState::NONE);
        Context::new().with_remote_span_context(parent)
    });
    let sampled = recorder.sampler.should_sample(context.as_ref(), trace, name, kind, &[], &[]);
    sampled.decision == SamplingDecision::RecordAndSample
}

fn parent_id(parent: Option<TraceParent<'_>>) -> SpanId {
    parent.and_then(|parent| span_id(parent.span)).unwrap_or(SpanId::INVALID)
}

fn trace_id(hex: &str) -> Option<TraceId> {
    TraceId::from_hex(hex).ok()
}

fn span_id(hex: &str) -> Option<SpanId> {
    SpanId::from_hex(hex).ok()
}
