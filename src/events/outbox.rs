//! The outbox: stored events, and the positions that readers follow.
//!
//! A change writes its events without waiting for others ([`write()`]). Shortly after the commit, a background task
//! assigns them positions ([`assign_positions`]). A position is final: no event is ever assigned a lower one
//! afterwards.

use sea_orm::{
    ActiveValue::{NotSet, Set},
    ConnectionTrait, DbBackend, EntityTrait, Statement,
};

use super::{entity, event::NewEvent, feed, signal::EventSignal};
use crate::{
    database::{Database, Transaction, horizon::Due},
    error::Result,
};

/// Maximum number of rows per INSERT: databases limit the number of parameters.
const ROWS: usize = 500;
/// Number of events that are assigned positions per transaction.
const BATCH: u64 = 1000;
/// Number of events deleted per transaction.
const PURGE: u64 = 1000;

/// Inserts events.
///
/// # Errors
/// A database error.
#[expect(clippy::disallowed_methods, reason = "events are written here and nowhere else")]
pub async fn write(db: &impl ConnectionTrait, events: Vec<NewEvent>) -> Result<()> {
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

/// Assigns positions to the committed events that have none, and returns their number.
///
/// # Errors
/// A database error.
pub async fn assign_positions(database: &Database) -> Result<u64> {
    let mut assigned = 0;
    while has_events_without_position(database).await? {
        assigned += database.transact(|transaction| Box::pin(assign_batch(transaction))).await?;
    }
    Ok(assigned)
}

/// Like [`assign_positions`], and wakes tasks that wait for positions, whichever process assigned them.
///
/// # Errors
/// A database error.
pub async fn assign_positions_and_wake(database: &Database, signal: &EventSignal) -> Result<()> {
    assign_positions(database).await?;
    signal.reached(feed::head(&database.read()).await?);
    Ok(())
}

async fn has_events_without_position(database: &Database) -> Result<bool> {
    let db = database.read();
    let sql = "SELECT 1 FROM outbox WHERE position IS NULL LIMIT 1";
    Ok(db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?.is_some())
}

/// Deletes the events from before `due`, all or only those that the broker has, and returns their number.
///
/// # Errors
/// A database error. What was deleted by then stays deleted.
pub async fn purge(database: &Database, due: Due, published_only: bool) -> Result<u64> {
    let mut purged = 0;
    loop {
        let batch = database
            .transact(move |transaction| Box::pin(async move { purge_batch(transaction, due, published_only).await }))
            .await?;
        purged += batch;
        if batch < PURGE {
            return Ok(purged);
        }
    }
}

/// Several processes may do so concurrently: the lock on the head's row serializes them.
async fn assign_batch(transaction: &Transaction) -> Result<u64> {
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

/// Deletes the oldest events that are due, and records the last deleted position of each tenant.
async fn purge_batch(transaction: &Transaction, due: Due, published_only: bool) -> Result<u64> {
    let backend = transaction.get_database_backend();
    let which = match published_only {
        true => {
            "AND position <= (SELECT position FROM outbox_relay WHERE id = 1) \
             AND NOT EXISTS (SELECT 1 FROM outbox_held h WHERE h.seq = outbox.seq)"
        }
        false => "",
    };
    let oldest = format!(
        "SELECT seq FROM outbox WHERE position IS NOT NULL AND occurred_at < $1 {which} ORDER BY position LIMIT {PURGE}"
    );
    let remember = format!(
        "INSERT INTO outbox_purged (tenant_id, position) \
         SELECT tenant_id, max(position) FROM outbox WHERE seq IN ({oldest}) GROUP BY tenant_id \
         ON CONFLICT (tenant_id) DO UPDATE SET position = excluded.position"
    );
    transaction.execute_raw(Statement::from_sql_and_values(backend, remember, [due.instant().into()])).await?;
    let delete = format!("DELETE FROM outbox WHERE seq IN ({oldest})");
    Ok(transaction
        .execute_raw(Statement::from_sql_and_values(backend, delete, [due.instant().into()]))
        .await?
        .rows_affected())
}
