//! Entries that are written outside of requests: reads of personal data, and rejections.
//!
//! [`AuditQueue::record`] never waits. A background task writes queued entries in batches, and the rest at shutdown. An
//! entry that does not fit, or that the database rejects, is lost and counted; the count is logged.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::{Mutex, mpsc};

use super::entry::{self, AuditEntry};
use crate::{
    database::Database,
    error::{Error, ErrorKind, Result},
};

/// Capacity of the queue, in entries.
const CAPACITY: usize = 8192;
/// Maximum number of entries per transaction.
const BATCH: usize = 256;

/// A bounded queue of entries.
pub struct AuditQueue {
    sender: mpsc::Sender<AuditEntry>,
    waiting: Mutex<Waiting>,
    /// Those that were lost since the log was told of any, and all of them.
    lost: AtomicU64,
    all_lost: Counter,
}

struct Waiting {
    receiver: mpsc::Receiver<AuditEntry>,
    /// The entries to write next.
    batch: Vec<AuditEntry>,
}

impl Default for AuditQueue {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl AuditQueue {
    /// A queue for up to `capacity` entries.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let (sender, receiver) = mpsc::channel(capacity);
        Self {
            sender,
            waiting: Mutex::new(Waiting { receiver, batch: Vec::new() }),
            lost: AtomicU64::new(0),
            all_lost: Counter::default(),
        }
    }

    /// Has lost entries counted.
    #[must_use]
    pub fn counted_by(self, all_lost: Counter) -> Self {
        Self { all_lost, ..self }
    }

    /// How many entries are in the queue; those that are just being written are not.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }

    /// Queues an entry, or counts it as lost if the queue is full.
    pub fn record(&self, entry: Option<AuditEntry>) {
        if entry.is_some_and(|entry| self.sender.try_send(entry).is_err()) {
            self.lose();
        }
    }

    fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.all_lost.inc();
    }

    /// Waits until there is something to write.
    pub async fn wait(&self) {
        let Waiting { receiver, batch } = &mut *self.waiting.lock().await;
        if batch.is_empty() {
            receiver.recv_many(batch, BATCH).await;
        }
    }

    /// Writes a batch of queued entries. While the database is unavailable, the batch is kept for the next call.
    ///
    /// # Errors
    /// Unavailable, if the database does not respond.
    pub async fn write(&self, database: &Database) -> Result<()> {
        let Waiting { batch, .. } = &mut *self.waiting.lock().await;
        match self.write_batch(database, batch).await {
            Ok(()) => batch.clear(),
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            // The database rejects the batch: one bad entry must not keep the others out.
            Err(error) => {
                warn(&error);
                for entry in std::mem::take(batch) {
                    if self.write_batch(database, &[entry]).await.is_err() {
                        self.lose();
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes a batch at shutdown, without keeping it on failure, and returns the number of entries written.
    ///
    /// # Errors
    /// A database error: the batch is lost, and its size is logged.
    pub async fn flush(&self, database: &Database) -> Result<usize> {
        let Waiting { receiver, batch } = &mut *self.waiting.lock().await;
        let mut last = std::mem::take(batch);
        while last.len() < BATCH
            && let Ok(entry) = receiver.try_recv()
        {
            last.push(entry);
        }
        let written = self.write_batch(database, &last).await;
        if let Err(error) = &written {
            warn(error);
            self.all_lost.inc_by(last.len() as u64);
            log_lost(last.len() as u64);
        }
        written.map(|()| last.len())
    }

    async fn write_batch(&self, database: &Database, batch: &[AuditEntry]) -> Result<()> {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            log_lost(lost);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let batch = batch.to_vec();
        database
            .transact(move |transaction| {
                let batch = batch.clone();
                Box::pin(async move {
                    transaction.changes_no_list();
                    entry::write(transaction, &batch);
                    Ok(())
                })
            })
            .await
    }
}

fn warn(error: &Error) {
    tracing::warn!(cause = error.cause().unwrap_or_default(), "audit entries cannot be written");
}

fn log_lost(lost: u64) {
    tracing::error!(lost, "audit entries are lost: readings and refusals were not recorded");
}
