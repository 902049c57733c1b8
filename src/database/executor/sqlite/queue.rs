//! The queue before the one writer, served by tenants in turn.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sea_orm::DbErr;
use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
};

use super::{LOCKED, QUEUE_SIZE, maintenance::Maintenance, queued_work::QueuedWork, writer::Writer};
use crate::{
    database::{
        executor::unit_of_work::{Scope, UnitOfWork},
        fair_queue::FairQueue,
        file::DatabaseFile,
        health::Health,
        party::Party,
        pool::Pool,
        steps::Steps,
        wal_guard::WalGuard,
    },
    error::{Error, Result},
};

/// The cause where the queue is full. It says nothing of the database.
const TOO_MANY: &str = "too many changes are waiting";

/// What commits changes on SQLite: puts them into the queue of the one writer.
pub(in crate::database) struct SqliteExecutor {
    queue: Arc<WorkQueue>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What waits for the writer.
pub(super) struct WorkQueue {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    work: FairQueue<QueuedWork>,
    closed: bool,
}

impl SqliteExecutor {
    /// `pool` holds the one connection that writes, `readers` those that read.
    pub(in crate::database) fn start(
        pool: Pool,
        readers: Pool,
        file: Arc<DatabaseFile>,
        wal_guard: WalGuard,
        steps: Arc<Steps>,
        health: Arc<Health>,
    ) -> Self {
        let queue = Arc::new(WorkQueue::new());
        let maintenance = Maintenance::new(pool, readers, file, wal_guard, health);
        let writer = tokio::spawn(Writer::new(maintenance, steps, Arc::clone(&queue)).run());
        Self { queue, writer: Some(writer).into() }
    }

    /// Puts a unit of work into the queue; its outcome goes to `sender`.
    pub(in crate::database) fn enqueue<T: Send + 'static>(
        &self,
        scope: &Scope,
        work: impl UnitOfWork<T>,
        sender: oneshot::Sender<Result<T>>,
    ) -> Result<()> {
        self.queue.push(&scope.party, QueuedWork::new(scope.deadline, work, sender))
    }

    /// Finishes what waits; accepts nothing more.
    pub(in crate::database) async fn close(&self) -> std::result::Result<(), DbErr> {
        self.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        match writer {
            Some(writer) => writer.await.map_err(|error| DbErr::Custom(error.to_string())),
            None => Ok(()),
        }
    }
}

impl Drop for SqliteExecutor {
    /// Ends the writer.
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl WorkQueue {
    fn new() -> Self {
        let state = State { work: FairQueue::new(QUEUE_SIZE), closed: false };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    fn push(&self, party: &Party, work: QueuedWork) -> Result<()> {
        let mut state = self.state();
        if state.closed {
            return Err(Error::unavailable("the service stops"));
        }
        let displaced = state.work.push(party, work);
        drop(state);
        if let Some(displaced) = displaced {
            displaced.refuse_at_once(Error::contention(TOO_MANY));
        }
        self.changed.notify_one();
        Ok(())
    }

    fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// The next unit of work, waited for; none once the queue is closed and empty.
    pub(super) async fn next(&self) -> Option<(Party, QueuedWork)> {
        loop {
            {
                let mut state = self.state();
                let next = state.work.pop_if(|_| true);
                if next.is_some() || state.closed {
                    return next;
                }
            }
            self.changed.notified().await;
        }
    }

    /// The next unit of work, if any waits.
    pub(super) fn try_next(&self) -> Option<(Party, QueuedWork)> {
        self.state().work.pop_if(|_| true)
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.state().work.is_empty()
    }

    /// Refuses what has waited for too long for another process's lock.
    pub(super) fn refuse_locked(&self, is_late: impl Fn(&QueuedWork) -> bool) {
        let late = self.state().work.take_while(is_late);
        late.into_iter().for_each(|work| work.refuse_at_once(Error::unavailable(LOCKED)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
