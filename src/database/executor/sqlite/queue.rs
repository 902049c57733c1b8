//! The queue before the one writer, served by tenants in turn.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{LOCKED, QUEUE_SIZE, queued_work::QueuedWork};
use crate::{
    database::{fair_queue::FairQueue, party::Party},
    error::{Error, Result},
    telemetry::database_metrics::DatabaseMetrics,
};

/// The cause where the queue is full. It says nothing of the database.
const TOO_MANY: &str = "too many changes are waiting";

/// What waits for the writer.
pub(super) struct WorkQueue {
    state: Mutex<State>,
    changed: Notify,
    metrics: DatabaseMetrics,
}

struct State {
    work: FairQueue<QueuedWork>,
    closed: bool,
}

impl WorkQueue {
    pub(super) fn new(metrics: DatabaseMetrics) -> Self {
        let state = State { work: FairQueue::new(QUEUE_SIZE), closed: false };
        Self { state: Mutex::new(state), changed: Notify::new(), metrics }
    }

    /// Puts a unit of work into its party's line.
    pub(super) fn push(&self, party: &Party, work: QueuedWork) -> Result<()> {
        let mut state = self.state();
        if state.closed {
            return Err(Error::unavailable("the service stops"));
        }
        let displaced = state.work.push(party, work);
        self.show(&state);
        drop(state);
        if let Some(displaced) = displaced {
            self.metrics.writers.turned_away.inc();
            displaced.refuse(Error::contention(TOO_MANY));
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Accepts nothing more.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// The next unit of work, waited for; none once the queue is closed and empty.
    pub(super) async fn next(&self) -> Option<(Party, QueuedWork)> {
        loop {
            {
                let mut state = self.state();
                let next = state.work.pop_if(|_| true);
                self.show(&state);
                if next.is_some() || state.closed {
                    return next;
                }
            }
            self.changed.notified().await;
        }
    }

    /// The next unit of work, if any waits.
    pub(super) fn try_next(&self) -> Option<(Party, QueuedWork)> {
        let mut state = self.state();
        let next = state.work.pop_if(|_| true);
        self.show(&state);
        next
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.state().work.is_empty()
    }

    /// Refuses what has waited for too long for another process's lock.
    pub(super) fn refuse_locked(&self, is_late: impl Fn(&QueuedWork) -> bool) {
        let mut state = self.state();
        let late = state.work.take_while(is_late);
        self.show(&state);
        drop(state);
        late.into_iter().for_each(|work| work.refuse(Error::unavailable(LOCKED)));
    }

    fn show(&self, state: &State) {
        self.metrics.writes_waiting.set(i64::try_from(state.work.len()).unwrap_or(i64::MAX));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
