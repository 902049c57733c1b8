//! What an operation leaves unread of a request's body: [`SharedBody`].
//!
//! The next request of an HTTP/1.1 connection begins where this one's body ends. So whatever was answered without
//! reading the body is read to its end here, if that is near; otherwise the connection must not be used again.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Bytes, Frame, SizeHint};

use super::activity::Exchange;

/// How long the rest of a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(2);

/// A request's body, of which the operation reads as much as it likes through a [`SharedBody::reader`].
pub(super) struct SharedBody(Arc<Mutex<State>>);

struct State {
    body: BoxBody<Bytes, io::Error>,
    /// The bytes read so far.
    read: u64,
    /// Whether it broke off.
    broken: bool,
    /// Whether anybody asked for it: a client that waits for `100 Continue` got it then.
    asked_for: bool,
    /// Is told when it is complete.
    exchange: Arc<Exchange>,
}

impl SharedBody {
    pub(super) fn new(body: poem::Body, exchange: Arc<Exchange>) -> Self {
        let state = State { body: body.into(), read: 0, broken: false, asked_for: false, exchange };
        Self(Arc::new(Mutex::new(state)))
    }

    /// The same body, for the operation.
    pub(super) fn reader(&self) -> poem::Body {
        poem::Body::from(BoxBody::new(Reader(Arc::clone(&self.0))))
    }

    /// Reads the rest: `true` if it has ended now. Gives up on a body of more than `limit` bytes, on one that does not
    /// arrive in time, and on one that the client will perhaps not send, because it `waits` to be asked for it.
    pub(super) async fn end(&self, limit: usize, waits: bool) -> bool {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        {
            let state = lock(&self.0);
            if state.body.is_end_stream() && !state.broken {
                return true;
            }
            let least = state.read.saturating_add(state.body.size_hint().lower());
            if state.broken || least > limit || (waits && !state.asked_for) {
                return false;
            }
        }
        tokio::time::timeout(ARRIVAL, self.read_on(limit)).await.unwrap_or(false)
    }

    async fn read_on(&self, limit: u64) -> bool {
        loop {
            match std::future::poll_fn(|context| lock(&self.0).poll(context)).await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(_)) if lock(&self.0).read > limit => return false,
                Some(Ok(_)) => {}
            }
        }
    }
}

impl State {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.asked_for = true;
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let length = frame.data_ref().map_or(0, Bytes::len);
            self.read = self.read.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        }
        self.broken |= matches!(polled, Poll::Ready(Some(Err(_))));
        if self.broken || self.body.is_end_stream() || matches!(polled, Poll::Ready(None)) {
            self.exchange.arrived();
        }
        polled
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Reader(Arc<Mutex<State>>);

impl Body for Reader {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        lock(&self.0).poll(context)
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.0).body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.0).body.size_hint()
    }
}
