//! What is sent of a reply: [`ReplyBody`] hands it over in parts, [`Streams`] gives up a stream of HTTP/2 that does not move.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use http_body_util::combinators::BoxBody;
use hyper::{
    body::{Body, Bytes, Frame, SizeHint},
    rt::Executor,
};

use super::activity::Exchange;
use crate::{
    http::limits::{Limits, REPLY_CHUNK},
    telemetry::metrics::{HttpLimit, Metrics},
};

/// The body of a reply. It is handed over in parts, so that no more is buffered than the client reads.
pub(super) struct ReplyBody {
    body: BoxBody<Bytes, io::Error>,
    /// What was read of the body and not handed over yet.
    rest: Bytes,
    exchange: Arc<Exchange>,
}

impl ReplyBody {
    pub(super) fn new(body: BoxBody<Bytes, io::Error>, exchange: Arc<Exchange>) -> Self {
        Self { body, rest: Bytes::new(), exchange }
    }

    fn part(&mut self) -> Bytes {
        self.rest.split_to(self.rest.len().min(REPLY_CHUNK))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = if self.rest.is_empty() { Some(Pin::new(&mut self.body).poll_frame(context)) } else { None };
        self.exchange.moved(!matches!(polled, Some(Poll::Pending)));
        if let Some(polled) = polled {
            match ready!(polled).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(self.part()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), u64::try_from(self.rest.len()).unwrap_or_default());
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

/// Runs the streams of a connection of HTTP/2, each to the end of its reply, or until that does not move any more.
#[derive(Clone)]
pub(super) struct Streams {
    /// The request of the stream that is begun next.
    next: Arc<Mutex<Option<Arc<Exchange>>>>,
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
}

impl Streams {
    pub(super) fn new(limits: Arc<Limits>, metrics: Arc<Metrics>) -> Self {
        Self { next: Arc::default(), limits, metrics }
    }

    /// Says which request the next stream is of: hyper begins it right after it has called the service.
    pub(super) fn of(&self, exchange: &Arc<Exchange>) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(exchange));
    }
}

impl<S: Future<Output = ()> + Send + 'static> Executor<S> for Streams {
    fn execute(&self, stream: S) {
        let exchange = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Self { limits, metrics, .. } = self.clone();
        tokio::spawn(async move {
            let Some(exchange) = exchange else { return stream.await };
            tokio::select! {
                biased;
                () = stream => {}
                // What is dropped is reset.
                () = exchange.stalled(limits.reply_time) => metrics.refuse(HttpLimit::reply_time),
            }
        });
    }
}
