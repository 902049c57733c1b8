//! The outbox: events as they are kept, and the positions by which they are followed.
//!
//! A change writes its events without waiting for anybody ([`write()`]). A moment later a task gives positions to what is
//! committed ([`App::order_events`]), woken by the commit: what has a position stands in its final place, and nothing is
//! ever put before it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ConnectionTrait, DbBackend, EntityTrait, Statement,
};
use tokio::sync::watch;

use super::{entity, event::Event, feed};
use crate::{app::App, background::Stop, database::Transaction, error::Result};

/// The most rows that one statement inserts: databases bound the number of parameters.
const ROWS: usize = 500;
/// How many events get their positions in one transaction.
const BATCH: u64 = 1000;
/// How long a commit of another process may go unseen.
const POLL: Duration = Duration::from_millis(250);
/// How many events a transaction deletes.
const PURGE: u64 = 1000;

/// Wakes those who wait for events.
pub struct Outbox {
    /// Counts the commits that had events.
    committed: watch::Sender<u64>,
    /// The last position, and whether the service stops.
    ordered: watch::Sender<Ordered>,
}

/// What those who wait for events look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ordered {
    head: i64,
    stopping: bool,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { committed: watch::Sender::new(0), ordered: watch::Sender::new(Ordered::default()) }
    }
}

impl Outbox {
    /// Says that a change with events was committed.
    pub(crate) fn was_written(&self) {
        self.committed.send_modify(|count| *count += 1);
    }

    /// Ends all waiting: the service stops.
    pub fn stop_waiting(&self) {
        self.ordered.send_modify(|ordered| ordered.stopping = true);
    }

    /// Changes with every new position.
    pub(super) fn ordered(&self) -> watch::Receiver<Ordered> {
        self.ordered.subscribe()
    }

    /// What is to be waited on for new positions. Taken before looking for events, so that none is missed in between.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let mut ordered = self.ordered.subscribe();
        ordered.mark_unchanged();
        Watch(ordered)
    }
}

/// Waits for new positions.
pub struct Watch(watch::Receiver<Ordered>);

impl Watch {
    /// Waits until positions were given out, also by another process, or for `patience`; false where there is no use in
    /// waiting.
    pub async fn next(&mut self, patience: Duration) -> bool {
        if self.0.borrow().stopping || patience.is_zero() {
            return false;
        }
        let _changed_or_in_vain = tokio::time::timeout(patience, self.0.changed()).await;
        !self.0.borrow().stopping
    }
}

/// Writes events.
///
/// # Errors
/// A fault of the database.
#[expect(clippy::disallowed_methods, reason = "events are written here and nowhere else")]
pub async fn write(db: &impl ConnectionTrait, events: Vec<Event>) -> Result<()> {
    let mut rows = events.into_iter().map(|event| entity::ActiveModel {
        seq: NotSet,
        position: Set(None),
        tenant_id: Set(event.tenant),
        event_id: Set(event.id),
        event_type: Set(event.event_type),
        aggregate_id: Set(event.aggregate),
        version: Set(event.version),
        occurred_at: Set(event.at),
        trace_id: Set(event.trace_id),
        data: Set(event.data),
    });
    loop {
        let some: Vec<_> = rows.by_ref().take(ROWS).collect();
        if some.is_empty() {
            return Ok(());
        }
        entity::Entity::insert_many(some).exec_without_returning(db).await?;
    }
}

impl App {
    /// Gives positions to the events that are committed and have none; gives how many there were.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn order_events(&self) -> Result<u64> {
        let mut ordered = 0;
        while self.has_events_without_position().await? {
            ordered += self.database().transact(|transaction| Box::pin(order_batch(transaction))).await?;
        }
        Ok(ordered)
    }

    /// Gives positions and wakes those who wait for them, whichever process gave them.
    async fn order_events_and_wake(&self) -> Result<()> {
        self.order_events().await?;
        let head = feed::head(&self.database().read()).await?;
        self.outbox().ordered.send_if_modified(|ordered| std::mem::replace(&mut ordered.head, head) != head);
        Ok(())
    }

    /// Gives positions as soon as changes are committed, until `stop`.
    pub async fn keep_ordering_events(&self, mut stop: Stop) {
        let mut committed = self.outbox().committed.subscribe();
        let mut works = true;
        loop {
            committed.mark_unchanged();
            let outcome = self.order_events_and_wake().await;
            if let (true, Err(error)) = (works, &outcome) {
                tracing::error!(cause = error.cause().unwrap_or_default(), "events cannot be put in order");
            }
            works = outcome.is_ok();
            tokio::select! {
                biased;
                () = stop.asked() => return,
                _ = tokio::time::timeout(POLL, committed.changed()) => {}
            }
        }
    }

    async fn has_events_without_position(&self) -> Result<bool> {
        let db = self.database().read();
        let sql = "SELECT 1 FROM outbox WHERE position IS NULL LIMIT 1";
        Ok(db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?.is_some())
    }

    /// Deletes the events from before `due`; gives how many there were. Where there is a broker, those alone that it has.
    ///
    /// # Errors
    /// A fault of the database. What was deleted until then stays deleted.
    pub async fn purge_events(&self, due: DateTime<Utc>) -> Result<u64> {
        let all = self.config().events_url.is_none();
        let mut purged = 0;
        loop {
            let batch = self
                .database()
                .transact(move |transaction| Box::pin(async move { purge_batch(transaction, due, all).await }))
                .await?;
            purged += batch;
            if batch < PURGE {
                return Ok(purged);
            }
        }
    }
}

/// Several processes may do this: the head's row is their lock.
async fn order_batch(transaction: &Transaction) -> Result<u64> {
    let backend = transaction.get_database_backend();
    let lock = if backend == DbBackend::Postgres { " FOR UPDATE" } else { "" };
    let head = format!("SELECT position FROM outbox_head WHERE id = 1{lock}");
    transaction.query_one_raw(Statement::from_string(backend, head)).await?;
    let order = format!(
        "UPDATE outbox SET position = n.n + (SELECT position FROM outbox_head WHERE id = 1) \
         FROM (SELECT seq, row_number() OVER (ORDER BY seq) AS n FROM \
         (SELECT seq FROM outbox WHERE position IS NULL ORDER BY seq LIMIT {BATCH}) AS unordered) AS n \
         WHERE outbox.seq = n.seq"
    );
    let ordered = transaction.execute_raw(Statement::from_string(backend, order)).await?.rows_affected();
    let moved = format!("UPDATE outbox_head SET position = position + {ordered} WHERE id = 1");
    transaction.execute_raw(Statement::from_string(backend, moved)).await?;
    Ok(ordered)
}

/// Deletes the oldest events that are due, all or those alone that were published, and keeps for each tenant up to where.
async fn purge_batch(transaction: &Transaction, due: DateTime<Utc>, all: bool) -> Result<u64> {
    let backend = transaction.get_database_backend();
    let which = match all {
        true => "",
        false => {
            "AND position <= (SELECT position FROM outbox_relay WHERE id = 1) \
             AND NOT EXISTS (SELECT 1 FROM outbox_held h WHERE h.seq = outbox.seq)"
        }
    };
    let oldest = format!(
        "SELECT seq FROM outbox WHERE position IS NOT NULL AND occurred_at < $1 {which} ORDER BY position LIMIT {PURGE}"
    );
    let remember = format!(
        "INSERT INTO outbox_purged (tenant_id, position) \
         SELECT tenant_id, max(position) FROM outbox WHERE seq IN ({oldest}) GROUP BY tenant_id \
         ON CONFLICT (tenant_id) DO UPDATE SET position = excluded.position"
    );
    transaction.execute_raw(Statement::from_sql_and_values(backend, remember, [due.into()])).await?;
    let delete = format!("DELETE FROM outbox WHERE seq IN ({oldest})");
    Ok(transaction.execute_raw(Statement::from_sql_and_values(backend, delete, [due.into()])).await?.rows_affected())
}
