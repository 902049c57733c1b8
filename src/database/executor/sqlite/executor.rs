//! The executor as the rest of the database uses it.

use std::sync::{Arc, Mutex, PoisonError};

use sea_orm::DbErr;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{maintenance::Maintenance, queue::WorkQueue, queued_work::QueuedWork, writer::Writer};
use crate::{
    database::{
        executor::unit_of_work::{Scope, UnitOfWork},
        file::DatabaseFile,
        health::Health,
        pool::Pool,
        read_cache::ReadCache,
        steps::Steps,
        wal_guard::WalGuard,
    },
    error::{Error, Result},
    telemetry::database_metrics::DatabaseMetrics,
};

/// How many may wait for the log to be emptied, once for all of them; others ask again.
const LOG_EMPTYINGS: usize = 64;

/// What commits changes on SQLite: puts them into the queue of the one writer.
pub(in crate::database) struct SqliteExecutor {
    queue: Arc<WorkQueue>,
    log_emptying: mpsc::Sender<oneshot::Sender<Result<bool>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl SqliteExecutor {
    /// `pool` holds the one connection that writes, `readers` those that read.
    pub(in crate::database) fn start(
        [pool, readers]: [Pool; 2],
        file: Arc<DatabaseFile>,
        wal_guard: WalGuard,
        steps: Arc<Steps>,
        health: Arc<Health>,
        cache: Arc<ReadCache>,
        metrics: DatabaseMetrics,
    ) -> Self {
        let queue = Arc::new(WorkQueue::new(metrics.clone()));
        let (log_emptying, asked) = mpsc::channel(LOG_EMPTYINGS);
        let maintenance = Maintenance::new(pool, readers, file, wal_guard, health);
        let writer = tokio::spawn(Writer::new(maintenance, steps, Arc::clone(&queue), asked, cache, metrics).run());
        Self { queue, log_emptying, writer: Some(writer).into() }
    }

    /// Puts a unit of work into the queue; its outcome goes to `sender`.
    pub(in crate::database) fn enqueue<T: Send + 'static>(
        &self,
        scope: &Scope,
        work: impl UnitOfWork<T>,
        sender: oneshot::Sender<Result<T>>,
    ) -> Result<()> {
        self.queue.push(&scope.party, QueuedWork::new(scope, work, sender))
    }

    /// Moves the whole write-ahead log into the database file; `false` where that is not possible now.
    pub(in crate::database) async fn empty_log(&self) -> Result<bool> {
        let (sender, receiver) = oneshot::channel();
        if self.log_emptying.try_send(sender).is_err() {
            return Ok(false);
        }
        receiver.await.unwrap_or_else(|_| Err(Error::unavailable("the service stops")))
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
