//! The queue before the one writer.

use std::sync::{Arc, Mutex, PoisonError};

use sea_orm::DbErr;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{QUEUE_SIZE, maintenance::Maintenance, queued_work::QueuedWork, writer::Writer};
use crate::{
    database::{
        deadline::Deadline, executor::unit_of_work::UnitOfWork, file::DatabaseFile, health::Health, pool::Pool,
        steps::Steps, wal_guard::WalGuard,
    },
    error::{Error, Result},
};

/// What commits changes on SQLite: puts them into the queue of the one writer.
pub(in crate::database) struct SqliteExecutor {
    queue: Mutex<Option<mpsc::Sender<QueuedWork>>>,
    log_emptying: mpsc::Sender<oneshot::Sender<Result<bool>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
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
        let (queue, receiver) = mpsc::channel(QUEUE_SIZE);
        let (log_emptying, asked) = mpsc::channel(1);
        let maintenance = Maintenance::new(pool, readers, file, wal_guard, health);
        let writer = tokio::spawn(Writer::new(maintenance, steps, receiver, asked).run());
        Self { queue: Some(queue).into(), log_emptying, writer: Some(writer).into() }
    }

    /// Puts a unit of work into the queue; its outcome goes to `sender`.
    pub(in crate::database) fn enqueue<T: Send + 'static>(
        &self,
        deadline: Deadline,
        work: impl UnitOfWork<T>,
        sender: oneshot::Sender<Result<T>>,
    ) -> Result<()> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let queue = queue.ok_or_else(|| Error::unavailable("the service stops"))?;
        let queued = QueuedWork::new(deadline, work, sender);
        queue.try_send(queued).map_err(|_| Error::unavailable("too many changes are waiting"))
    }

    /// Moves the whole write-ahead log into the database file; `false` where that is not possible now.
    pub(in crate::database) async fn empty_log(&self) -> Result<bool> {
        let (sender, receiver) = oneshot::channel();
        // Whoever else asked is answered soon.
        if self.log_emptying.try_send(sender).is_err() {
            return Ok(false);
        }
        receiver.await.unwrap_or_else(|_| Err(Error::unavailable("the service stops")))
    }

    /// Finishes what waits; accepts nothing more.
    pub(in crate::database) async fn close(&self) -> std::result::Result<(), DbErr> {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        match writer {
            Some(writer) => writer.await.map_err(|error| DbErr::Custom(error.to_string())),
            None => Ok(()),
        }
    }
}
