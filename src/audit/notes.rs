//! What is noted beside a request: that personal data was seen in clear, and what was refused.
//!
//! [`Notes::note`] puts an entry into a bounded queue and returns at once; a task of its own writes what waits in batches
//! ([`App::keep_writing_notes`]), and [`App::write_notes`] the rest when the service stops. A note that finds the queue full, or
//! that the database refuses, is lost and counted; the count goes to the log.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

use super::{
    entity::AuditAction,
    entry::{self, Agent, Deed, Entry},
    fact::{self, Audited, FieldChange},
};
use crate::{
    app::App,
    background::Stop,
    error::{ApiError, ErrorCode, Result},
    kind::Kind,
    pii::Sight,
};

/// The most notes that wait.
const QUEUE: usize = 8192;
/// The most notes that are written at a time.
const BATCH: usize = 256;
/// How long notes gather before they are written.
const PAUSE: Duration = Duration::from_millis(50);
/// How long to wait before a batch is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The queue of notes.
pub struct Notes {
    queue: mpsc::Sender<Entry>,
    waiting: Mutex<mpsc::Receiver<Entry>>,
    lost: AtomicU64,
}

impl Default for Notes {
    fn default() -> Self {
        Self::holding(QUEUE)
    }
}

impl Notes {
    /// A queue that holds so many notes.
    #[must_use]
    pub fn holding(most: usize) -> Self {
        let (queue, waiting) = mpsc::channel(most);
        Self { queue, waiting: Mutex::new(waiting), lost: AtomicU64::new(0) }
    }

    /// Puts a note into the queue, or counts it as lost.
    pub fn note(&self, note: Option<Entry>) {
        if note.is_some_and(|note| self.queue.try_send(note).is_err()) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells the log how many notes were lost since it was last told.
    fn report_lost(&self) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::error!(lost, "audit notes are lost: readings and refusals were not recorded");
        }
    }
}

impl App {
    /// The note that a caller with this sight saw these rows; `None` where nothing was seen in clear.
    #[must_use]
    pub fn reading<E: Audited>(&self, agent: &Agent, sight: Sight, rows: &[E::Model]) -> Option<Entry> {
        if sight == Sight::Masked {
            return None;
        }
        let mut fields: Vec<&'static str> = Vec::new();
        let mut seen = Vec::new();
        for row in rows {
            let sealed = fact::sealed_fields::<E>(row);
            if !sealed.is_empty() {
                seen.push(E::id(row));
            }
            fields.extend(sealed);
        }
        fields.sort_unstable();
        fields.dedup();
        let what = fields.join(" and ");
        let (id, summary) = match seen.as_slice() {
            [] => return None,
            [id] => (Some(*id), format!("saw {what} of the {} in clear", E::KIND.name)),
            ids => {
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                (None, format!("saw {what} of {} {} in clear: {}", ids.len(), E::KIND.collection, ids.join(", ")))
            }
        };
        let changes = fields.iter().map(|field| FieldChange { field: (*field).to_owned(), old: None, new: None });
        let deed = Deed { action: AuditAction::Read, kind: Some(E::KIND), id, changes: changes.collect(), summary };
        Entry::new(self, agent, deed).ok()
    }

    /// The note that a request was refused. `what` is its method and path by the contract.
    #[must_use]
    pub fn refusal(
        &self,
        agent: &Agent,
        what: &str,
        target: (Option<Kind>, Option<Uuid>),
        error: &ApiError,
    ) -> Option<Entry> {
        let reason = error.details().unwrap_or_default();
        let summary = format!("was refused {what}: {} {reason}", error.code().status().as_u16());
        let (kind, id) = target;
        let deed = Deed { action: AuditAction::Refuse, kind, id, changes: Vec::new(), summary };
        Entry::new(self, agent, deed).ok()
    }

    /// Writes what waits, a batch of it; gives how many notes it wrote.
    ///
    /// # Errors
    /// A fault of the database: the batch is lost, and the log says how much it was.
    pub async fn write_notes(&self) -> Result<usize> {
        let mut batch = Vec::new();
        let mut waiting = self.notes().waiting.lock().await;
        while batch.len() < BATCH
            && let Ok(note) = waiting.try_recv()
        {
            batch.push(note);
        }
        let written = self.write_batch(&batch).await;
        if written.is_err() {
            tracing::error!(lost = batch.len(), "audit notes are lost: readings and refusals were not recorded");
        }
        written.map(|()| batch.len())
    }

    /// Writes notes as they come, until `stop`. While the database cannot take them, they wait.
    pub async fn keep_writing_notes(&self, mut stop: Stop) {
        let mut batch = Vec::new();
        let mut waiting = self.notes().waiting.lock().await;
        loop {
            tokio::select! {
                biased;
                () = stop.asked() => break,
                _ = waiting.recv_many(&mut batch, BATCH), if batch.is_empty() => {}
                () = tokio::time::sleep(AGAIN), if !batch.is_empty() => {}
            }
            match self.write_batch(&batch).await {
                Ok(()) => {
                    batch.clear();
                    // More notes gather meanwhile, and share the next commit.
                    tokio::time::sleep(PAUSE).await;
                }
                // The database does not answer: it may do so later.
                Err(error) if error.code() == ErrorCode::ServiceUnavailable => {}
                // It refuses the batch: one note must not keep the others out.
                Err(_) => {
                    for note in std::mem::take(&mut batch) {
                        if self.write_batch(&[note]).await.is_err() {
                            self.notes().lost.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            }
        }
        for note in batch {
            self.notes().note(Some(note));
        }
    }

    async fn write_batch(&self, batch: &[Entry]) -> Result<()> {
        self.notes().report_lost();
        if batch.is_empty() {
            return Ok(());
        }
        let batch = batch.to_vec();
        let written = self
            .database()
            .transact(move |transaction| {
                let batch = batch.clone();
                Box::pin(async move { entry::write(transaction, &batch).await })
            })
            .await;
        if let Err(error) = &written {
            tracing::warn!(cause = error.cause().unwrap_or_default(), "audit notes cannot be written");
        }
        written
    }
}
