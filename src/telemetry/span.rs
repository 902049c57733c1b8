//! A span: a part of what a request does, with its place in the trace and its time. Where traces are off, or this one is not
//! recorded, a span is nothing: it takes no memory and no clock is asked.
//!
//! What a future does is put under a span by [`Span::around`]; below it, [`Span::of_current`] finds its parent by itself. Work
//! that goes on in another task takes a [`Parent`] with it.

use std::{borrow::Cow, fmt, sync::Arc, time::Instant};

use futures_util::future::Either;
use opentelemetry::{
    Context, KeyValue, Value,
    context::FutureExt,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::span_export::Recorder;

/// A span that is under way; it ends when it is dropped.
#[must_use]
pub struct Span(Option<Box<Open>>);

struct Open {
    recorder: Arc<Recorder>,
    data: SpanData,
    since: Instant,
}

/// Where a span is in its trace.
pub(super) struct Place {
    pub trace: TraceId,
    pub span: SpanId,
    pub parent: SpanId,
    /// The parent is another process's.
    pub remote: bool,
}

/// A span that others are parts of. Cheap to clone.
#[derive(Clone, Default)]
pub struct Parent(Option<Under>);

#[derive(Clone)]
struct Under {
    recorder: Arc<Recorder>,
    trace: TraceId,
    span: SpanId,
}

impl Parent {
    /// The span that what runs here is part of.
    #[must_use]
    pub fn current() -> Self {
        Self(Context::map_current(|context| context.get::<Under>().cloned()))
    }

    /// A part of it that happens within this process.
    pub fn part(&self, name: &'static str) -> Span {
        self.begin(name, SpanKind::Internal)
    }

    /// A part of it for which another system is asked.
    pub fn asking(&self, name: &'static str) -> Span {
        self.begin(name, SpanKind::Client)
    }

    /// What belongs to a message that is made here and sent later: its span has this id, by which those are under it who send it
    /// and take it.
    pub fn message(&self, name: &'static str, span: SpanId) -> Span {
        self.place(name.into(), SpanKind::Producer, |_| span)
    }

    /// Puts under it what a future does.
    pub fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        match self.0 {
            Some(under) => Either::Left(future.with_context(Context::new().with_value(under))),
            None => Either::Right(future),
        }
    }

    fn begin(&self, name: &'static str, kind: SpanKind) -> Span {
        self.place(name.into(), kind, Recorder::new_span_id)
    }

    fn place(&self, name: Cow<'static, str>, kind: SpanKind, id: impl FnOnce(&Recorder) -> SpanId) -> Span {
        let Some(Under { recorder, trace, span: parent }) = &self.0 else { return Span::nothing() };
        let place = Place { trace: *trace, span: id(recorder), parent: *parent, remote: false };
        Span::begin(Arc::clone(recorder), place, kind, name)
    }
}

impl Span {
    /// None.
    pub const fn nothing() -> Self {
        Self(None)
    }

    /// A part of what runs here that happens within this process.
    pub fn of_current(name: &'static str) -> Self {
        Parent::current().part(name)
    }

    /// A part of what runs here for which another system is asked.
    pub fn asking(name: &'static str) -> Self {
        Parent::current().asking(name)
    }

    pub(super) fn begin(recorder: Arc<Recorder>, place: Place, kind: SpanKind, name: Cow<'static, str>) -> Self {
        let Place { trace, span, parent, remote } = place;
        let now = opentelemetry::time::now();
        let data = SpanData {
            span_context: SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: parent,
            parent_span_is_remote: remote,
            span_kind: kind,
            name,
            start_time: now,
            end_time: now,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: recorder.scope.clone(),
        };
        Self(Some(Box::new(Open { recorder, data, since: Instant::now() })))
    }

    /// Whether it is recorded.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// The id of its trace: 32 hexadecimal digits; `None` where it is not recorded.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        self.0.as_ref().map(|open| open.data.span_context.trace_id().to_string())
    }

    /// It, for its parts.
    #[must_use]
    pub fn as_parent(&self) -> Parent {
        Parent(self.0.as_ref().map(|open| {
            let context = &open.data.span_context;
            Under { recorder: Arc::clone(&open.recorder), trace: context.trace_id(), span: context.span_id() }
        }))
    }

    /// Records nothing of it: what it was to tell of has not begun.
    pub fn discard(mut self) {
        self.0 = None;
    }

    /// Puts under it what a future does.
    pub fn around<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        self.as_parent().around(future)
    }

    /// Says something of it: a name of the semantic conventions, or one that begins with `crm.`. Never a secret or what a client
    /// wrote.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(open) = &mut self.0 {
            open.data.attributes.push(KeyValue::new(name, value));
        }
    }

    /// The same, of a text that is only made where it is recorded.
    pub fn set_text(&mut self, name: &'static str, text: impl fmt::Display) {
        if let Some(open) = &mut self.0 {
            open.data.attributes.push(KeyValue::new(name, text.to_string()));
        }
    }

    /// Says that it failed, and in which way: one of a few words.
    pub fn fails(&mut self, kind: impl Into<Cow<'static, str>>) {
        if let Some(open) = &mut self.0 {
            let kind = kind.into();
            open.data.attributes.push(KeyValue::new("error.type", kind));
            open.data.status = Status::error("");
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            let Open { recorder, mut data, since } = *open;
            data.end_time = data.start_time + since.elapsed();
            recorder.record(data);
        }
    }
}
