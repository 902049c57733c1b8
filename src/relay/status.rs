//! What operators see of the relay, and what they can do.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, QueryResult};
use uuid::Uuid;

use super::ledger::{UNROUTED, execute, statement};
use crate::{database::Database, error::Result, telemetry::metrics::Metrics};

/// How far the relay came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelayStatus {
    /// The last position that was assigned.
    pub head: i64,
    /// Up to here every event is published or blocked.
    pub position: i64,
    /// Events that were refused, or wait behind a refused one; parked ones among them.
    pub blocked: i64,
    /// Events that are not tried again by themselves.
    pub parked: i64,
    /// When the next blocked event is tried again, in milliseconds since 1970.
    pub(super) next_retry: Option<i64>,
    /// Whether an earlier release has blocked or parked events because no queue was bound to them.
    pub(super) unrouted: bool,
}

/// An event that is parked; of one that is damaged, what can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedEvent {
    /// Its id.
    pub event_id: Option<Uuid>,
    /// Its type.
    pub event_type: Option<String>,
    /// The tenant it belongs to.
    pub tenant_id: Option<String>,
    /// The resource that it is about.
    pub aggregate_id: Option<Uuid>,
    /// Why the broker refused it last.
    pub reason: Option<String>,
}

/// How far the relay came.
///
/// # Errors
/// A fault of the database.
pub async fn status(database: &Database) -> Result<RelayStatus> {
    let db = database.read();
    let sql = "SELECT h.position, r.position, (SELECT count(*) FROM outbox_held), \
               (SELECT count(*) FROM outbox_held WHERE aside), (SELECT min(due) FROM outbox_held), \
               EXISTS (SELECT 1 FROM outbox_held WHERE reason = $1 AND attempts > 0) \
               FROM outbox_head h, outbox_relay r WHERE h.id = 1 AND r.id = 1";
    let Some(row) = db.query_one_raw(statement(&db, sql, [UNROUTED.into()])).await? else {
        return Ok(RelayStatus::default());
    };
    Ok(RelayStatus {
        head: row.try_get_by_index(0)?,
        position: row.try_get_by_index(1)?,
        blocked: row.try_get_by_index(2)?,
        parked: row.try_get_by_index(3)?,
        next_retry: row.try_get_by_index(4)?,
        unrouted: row.try_get_by_index(5)?,
    })
}

/// When the oldest event happened that was not sent yet; none where all were. Those that are blocked or parked were.
///
/// # Errors
/// A fault of the database.
pub async fn oldest_waiting(database: &Database) -> Result<Option<DateTime<Utc>>> {
    let db = database.read();
    for oldest in [
        "SELECT occurred_at FROM outbox WHERE position > (SELECT position FROM outbox_relay WHERE id = 1) \
         ORDER BY position LIMIT 1",
        "SELECT occurred_at FROM outbox WHERE position IS NULL ORDER BY seq LIMIT 1",
    ] {
        if let Some(row) = db.query_one_raw(statement(&db, oldest, [])).await? {
            return Ok(Some(row.try_get_by_index(0)?));
        }
    }
    Ok(None)
}

/// Shows how far the relay came.
pub fn show(status: &RelayStatus, metrics: &Metrics) {
    metrics.events.waiting.set(status.head - status.position);
    metrics.events.blocked.set(status.blocked);
    metrics.events.parked.set(status.parked);
}

/// The oldest parked events, at most `limit`.
///
/// # Errors
/// A fault of the database.
pub async fn parked(database: &Database, limit: u64) -> Result<Vec<ParkedEvent>> {
    let db = database.read();
    let sql = format!(
        "SELECT o.event_id, o.event_type, o.tenant_id, o.aggregate_id, h.reason \
         FROM outbox_held h CROSS JOIN outbox o WHERE o.seq = h.seq AND h.aside ORDER BY h.position LIMIT {limit}"
    );
    let rows = db.query_all_raw(statement(&db, &sql, [])).await?;
    let parked = |row: &QueryResult| ParkedEvent {
        event_id: row.try_get("", "event_id").ok(),
        event_type: row.try_get("", "event_type").ok(),
        tenant_id: row.try_get("", "tenant_id").ok(),
        aggregate_id: row.try_get("", "aggregate_id").ok(),
        reason: row.try_get("", "reason").ok(),
    };
    Ok(rows.iter().map(parked).collect())
}

/// Lets parked events be tried again, one or all; returns how many.
///
/// # Errors
/// A fault of the database.
pub async fn retry(database: &Database, event: Option<Uuid>) -> Result<u64> {
    database
        .transact(move |transaction| {
            Box::pin(async move {
                let retry = "UPDATE outbox_held SET attempts = 0, due = 0, aside = false WHERE aside";
                match event {
                    None => execute(transaction, retry, []).await,
                    Some(id) => {
                        let sql = format!("{retry} AND seq IN (SELECT seq FROM outbox WHERE event_id = $1)");
                        execute(transaction, &sql, [id.into()]).await
                    }
                }
            })
        })
        .await
}
