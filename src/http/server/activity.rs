//! What a connection is doing, and when that must end: [`Activity`].
//!
//! It waits for its client between requests, while a head or a body arrives, and while a reply is not read; the rest of the
//! time the client waits for the service. Each wait for the client has an end, and such a connection is the first to be closed
//! where places are short.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::http::limits::Limits;

/// How long the beginning of a request may be on its way when the service stops.
const ARRIVAL: Duration = Duration::from_millis(250);
/// How long the rest of a request's head may take then.
const HEAD: Duration = Duration::from_secs(5);
/// How often that is looked at.
const TICK: Duration = Duration::from_millis(10);

/// Why a connection is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was kept long enough without a request.
    Idle,
    /// The head of a request did not arrive in time.
    HeadTime,
    /// The client did not read a reply in time.
    ReplyTime,
    /// Its place is needed.
    Evicted,
}

/// How much is lost by closing a connection that waits for its client, and since when it waits: the least is closed first.
pub(super) type Waiting = (Loss, Instant);

/// See [`Waiting`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Loss {
    /// No request, or the beginning of one.
    Nothing,
    /// A request, or the rest of a reply.
    Request,
}

/// What a connection is doing.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    /// When it was opened, its last request was read, or its last reply was sent.
    since: Instant,
    /// Since when a head is on its way that is not complete.
    head: Option<Instant>,
    /// Since when the client does not take what is written.
    blocked: Option<Instant>,
    /// The number of requests that are being answered.
    requests: usize,
    /// Those of them whose body is still on its way.
    arriving: usize,
    /// Those of them that wait for the client: for the rest of the body, or until the reply is read.
    waiting: usize,
    /// Whether a reply of HTTP/1.1 is not written whole.
    unwritten: bool,
    /// Whether there was a request.
    requested: bool,
    /// Whether it is one of HTTP/2.
    multiplexed: bool,
    /// Whether nothing follows any more.
    lingers: bool,
    evicted: bool,
    /// Who waits for the end.
    waker: Option<Waker>,
}

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new(State {
            since: Instant::now(),
            head: None,
            blocked: None,
            requests: 0,
            arriving: 0,
            waiting: 0,
            unwritten: false,
            requested: false,
            multiplexed: false,
            lingers: false,
            evicted: false,
            waker: None,
        }))
    }
}

impl Activity {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is one of HTTP/2: from now on [`Self::frames_read`] tells what was read.
    pub(super) fn multiplexed(&self) {
        self.state().multiplexed = true;
    }

    /// Something was read, by HTTP/1.1; `true` if a head begins with it.
    pub(super) fn bytes_read(&self) -> bool {
        let mut state = self.state();
        let of_head = state.arriving == 0 && state.head.is_none();
        if of_head {
            state.head = Some(Instant::now());
        }
        of_head
    }

    /// Something was read, by HTTP/2, in the middle of a head or not.
    pub(super) fn frames_read(&self, in_head: bool) {
        let mut state = self.state();
        if in_head {
            state.head.get_or_insert_with(Instant::now);
        } else {
            state.head = None;
        }
    }

    /// The client took what was written, or did not.
    pub(super) fn wrote(&self, taken: bool) {
        let mut state = self.state();
        if taken {
            state.blocked = None;
        } else {
            state.blocked.get_or_insert_with(Instant::now);
        }
    }

    /// Everything was written that there was to write.
    pub(super) fn flushed(&self) {
        let mut state = self.state();
        if state.unwritten && state.requests == 0 {
            state.unwritten = false;
            state.since = Instant::now();
            // What follows had to wait for this reply.
            state.head = state.head.map(|_| Instant::now());
        }
    }

    /// Whether what is written now, by HTTP/1.1, is no reply of this service.
    pub(super) fn owes_nothing(&self) -> bool {
        let state = self.state();
        !state.multiplexed && state.requests == 0 && !state.unwritten
    }

    /// Nothing follows any more.
    pub(super) fn lingers(&self) {
        let mut state = self.state();
        (state.lingers, state.since) = (true, Instant::now());
    }

    /// A request was read, whose body perhaps is still on its way.
    pub(super) fn begin(self: &Arc<Self>, body_follows: bool) -> Exchange {
        let mut state = self.state();
        state.requests += 1;
        state.arriving += usize::from(body_follows);
        state.waiting += usize::from(body_follows);
        state.since = Instant::now();
        if !state.multiplexed {
            state.unwritten = true;
            state.head = None;
        } else if !state.requested {
            state.head = None;
        }
        state.requested = true;
        Exchange {
            connection: Arc::clone(self),
            state: Mutex::new(ExchangeState { body_follows, replies: false, moved: None }),
        }
    }

    /// Waits for a request that is on its way, and until none is half read.
    pub(super) async fn between_requests(&self) {
        sleep(ARRIVAL).await;
        let end = Instant::now() + HEAD;
        while self.state().head.is_some() && Instant::now() < end {
            sleep(TICK).await;
        }
    }

    /// What it waits for its client for, and since when; `None` while the client waits for the service.
    pub(super) fn waiting(&self) -> Option<Waiting> {
        let state = self.state();
        match state.blocked {
            _ if state.evicted => None,
            _ if state.lingers || !state.is_busy() => Some((Loss::Nothing, state.since)),
            Some(since) => Some((Loss::Request, since)),
            None => (state.requests > 0 && state.waiting == state.requests).then_some((Loss::Request, state.since)),
        }
    }

    /// Whether it waits for the client to read.
    pub(super) fn is_blocked(&self) -> bool {
        self.state().blocked.is_some()
    }

    /// Has it closed.
    pub(super) fn evict(&self) {
        let mut state = self.state();
        state.evicted = true;
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Waits until it is to be closed.
    pub(super) async fn end(&self, limits: &Limits) -> Ending {
        let sleep = sleep_until(Instant::now() + limits.keep_alive);
        tokio::pin!(sleep);
        std::future::poll_fn(|context| self.poll_end(context, sleep.as_mut(), limits)).await
    }

    /// Polled together with the connection, so whatever changes is seen at once. The timer is set anew only where it is to
    /// fire earlier: requests that come and go leave it alone.
    fn poll_end(&self, context: &mut Context<'_>, mut sleep: Pin<&mut Sleep>, limits: &Limits) -> Poll<Ending> {
        loop {
            let due = {
                let mut state = self.state();
                if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                    state.waker = Some(context.waker().clone());
                }
                state.due(limits)
            };
            let Some((at, ending)) = due else { return Poll::Pending };
            if at <= Instant::now() {
                return Poll::Ready(ending);
            }
            if at < sleep.deadline() || sleep.is_elapsed() {
                sleep.as_mut().reset(at);
            }
            ready!(sleep.as_mut().poll(context));
        }
    }
}

impl State {
    /// Whether a request is being answered.
    fn is_busy(&self) -> bool {
        self.requests > 0 || self.unwritten
    }

    /// When it must end, and why; `None` if it need not.
    fn due(&self, limits: &Limits) -> Option<(Instant, Ending)> {
        if self.evicted {
            return Some((self.since, Ending::Evicted));
        }
        if self.lingers {
            return None;
        }
        let head = self.head.filter(|_| self.multiplexed || !self.is_busy());
        let idle = (!self.is_busy() && self.head.is_none()).then_some(self.since);
        let dues = [
            self.blocked.map(|since| (since + limits.reply_time, Ending::ReplyTime)),
            head.map(|since| (since + limits.head_time, Ending::HeadTime)),
            idle.map(|since| (since + limits.keep_alive, Ending::Idle)),
        ];
        dues.into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

/// A request that is being answered, until the last of its reply was handed over.
#[derive(Debug)]
pub(super) struct Exchange {
    connection: Arc<Activity>,
    state: Mutex<ExchangeState>,
}

#[derive(Debug)]
struct ExchangeState {
    /// Whether the rest of its body is on its way.
    body_follows: bool,
    /// Whether there is a part of the reply for the client to read.
    replies: bool,
    /// When a part of the reply was handed over last.
    moved: Option<Instant>,
}

impl Exchange {
    fn state(&self) -> MutexGuard<'_, ExchangeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body is complete, or broke off.
    pub(super) fn arrived(&self) {
        self.change(|state| state.body_follows = false);
    }

    /// The reply is made: the client may read it.
    pub(super) fn replied(&self) {
        self.change(|state| (state.replies, state.moved) = (true, Some(Instant::now())));
    }

    /// A part of the reply was handed over, or is not there yet.
    pub(super) fn moved(&self, is_there: bool) {
        let now = Instant::now();
        self.change(|state| (state.replies, state.moved) = (is_there, Some(now)));
        self.connection.state().since = now;
    }

    /// Notes for the connection whether the request waits for the client after this change.
    fn change(&self, change: impl FnOnce(&mut ExchangeState)) {
        let mut state = self.state();
        let (arrived, waited) = (!state.body_follows, state.body_follows || state.replies);
        change(&mut state);
        let waits = state.body_follows || state.replies;
        let mut connection = self.connection.state();
        connection.arriving -= usize::from(!arrived && !state.body_follows);
        match (waited, waits) {
            (false, true) => (connection.waiting, connection.since) = (connection.waiting + 1, Instant::now()),
            (true, false) => connection.waiting -= 1,
            _ => {}
        }
    }

    /// Waits until no part of the reply was handed over for so long.
    pub(super) async fn stalled(&self, limit: Duration) {
        loop {
            let moved = self.state().moved;
            let due = moved.unwrap_or_else(Instant::now) + limit;
            if moved.is_some() && due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.change(|state| (state.body_follows, state.replies) = (false, false));
        let mut state = self.connection.state();
        state.requests -= 1;
        if state.requests == 0 {
            state.since = Instant::now();
            // Of HTTP/2, another task may have answered.
            let waker = if state.multiplexed { state.waker.take() } else { None };
            drop(state);
            waker.into_iter().for_each(Waker::wake);
        }
    }
}
