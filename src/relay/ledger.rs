//! What the relay keeps in the database: whose turn it is and how far it came (`outbox_relay`), and which events before that
//! position are not published yet (`outbox_held`).

use std::{collections::HashSet, time::Duration};

use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};
use uuid::Uuid;

use super::{backoff::RETRY, stored_event::StoredEvent};
use crate::{
    database::{Database, Transaction},
    error::Result,
};

/// How often an event is sent before it is parked.
pub const MAX_ATTEMPTS: i32 = 8;

/// How long a relay that fell silent keeps the others from working.
const LEASE: Duration = Duration::from_secs(2);

/// The reason that an earlier release noted where no queue was bound.
pub(super) const UNROUTED: &str = "returned: NO_ROUTE";

/// An event that may be sent.
pub(super) struct Candidate {
    pub event: StoredEvent,
    /// How often it was refused, if it is blocked; none for an event that was not sent before.
    pub attempts: Option<i32>,
    /// Whether it waits behind a blocked event of the same resource.
    pub waits: bool,
}

impl Candidate {
    fn blocked(row: &QueryResult) -> Result<Self> {
        let attempts = row.try_get("", "attempts")?;
        Ok(Self { event: StoredEvent::read(row)?, attempts: Some(attempts), waits: false })
    }

    fn new(row: &QueryResult) -> Result<Self> {
        let waits = row.try_get("", "waits")?;
        Ok(Self { event: StoredEvent::read(row)?, attempts: None, waits })
    }

    pub fn is_new(&self) -> bool {
        self.attempts.is_none()
    }
}

/// What changes for an event once its delivery was tried.
#[derive(Debug, Clone)]
pub(super) enum DeliveryUpdate {
    /// It is blocked: refused this often, last for this reason; tried again when it is `due`, in milliseconds since 1970.
    Block { seq: i64, attempts: i32, due: Option<i64>, reason: Option<String> },
    /// It was blocked and is published now: the next one of its resource is due.
    Unblock { seq: i64, tenant: String, aggregate: Uuid },
}

/// Takes or renews the lease; gives the position to go on from, or none while another relay holds the lease. One that
/// reaches further ahead than a lease can was left behind by a clock that has been set back, and is none.
///
/// # Errors
/// A fault of the database.
pub(super) async fn take_lease(database: &Database, owner: Uuid) -> Result<Option<i64>> {
    database
        .transact(move |transaction| {
            transaction.changes_no_list();
            Box::pin(async move {
                let clock = clock(transaction.get_database_backend());
                let sql = format!(
                    "UPDATE outbox_relay SET owner = $1, until = {clock} + {} \
                     WHERE id = 1 AND (owner = $1 OR until < {clock} OR until > {clock} + {})",
                    LEASE.as_millis(),
                    LEASE.as_millis()
                );
                if execute(transaction, &sql, [owner.into()]).await? == 0 {
                    return Ok(None);
                }
                let sql = "SELECT position FROM outbox_relay WHERE id = 1";
                let row = transaction.query_one_raw(statement(transaction, sql, [])).await?;
                Ok(row.map(|row| row.try_get_by_index(0)).transpose()?)
            })
        })
        .await
}

/// Lets those events be sent again that an earlier release blocked or parked because no queue was bound to them: today
/// they count as published.
///
/// # Errors
/// A fault of the database.
pub(super) async fn release_unrouted(database: &Database) -> Result<()> {
    database
        .transact(|transaction| {
            Box::pin(async move {
                let sql =
                    "UPDATE outbox_held SET attempts = 0, due = 0, aside = false WHERE reason = $1 AND attempts > 0";
                execute(transaction, sql, [UNROUTED.into()]).await.map(drop)
            })
        })
        .await
}

/// Lets the other relays work at once.
///
/// # Errors
/// A fault of the database: then they wait until the lease expires.
pub(super) async fn release_lease(database: &Database, owner: Uuid) -> Result<()> {
    database
        .transact(move |transaction| {
            Box::pin(async move {
                let sql = "UPDATE outbox_relay SET until = 0 WHERE id = 1 AND owner = $1";
                execute(transaction, sql, [owner.into()]).await.map(drop)
            })
        })
        .await
}

/// The latest instant that an event may be due at, in milliseconds since 1970: a later one is that of a clock that was ahead.
pub(super) fn latest_due(now: i64) -> i64 {
    now.saturating_add(i64::try_from(RETRY.longest.as_millis()).unwrap_or(i64::MAX))
}

/// What can be sent together: blocked events that are due, then those after `position` and up to `head`, as far as their
/// resources are not in the batch already. Also the position to go on from, which is `head` once nothing is left: without a
/// broker the retention deletes events that were never published.
pub(super) async fn next_batch(
    database: &Database,
    now: i64,
    (position, head): (i64, i64),
    window: u64,
) -> Result<(Vec<Candidate>, i64)> {
    let db = database.read();
    // Of few events, those of the outbox: SQLite joins in the order of a CROSS JOIN.
    let blocked = format!(
        "SELECT o.*, h.attempts FROM outbox_held h CROSS JOIN outbox o \
         WHERE o.seq = h.seq AND (h.due <= $1 OR h.due > $2) ORDER BY h.position LIMIT {window}"
    );
    let blocked = db.query_all_raw(statement(&db, &blocked, [now.into(), latest_due(now).into()])).await?;
    let mut batch = blocked.iter().map(Candidate::blocked).collect::<Result<Vec<_>>>()?;
    // After a failure one event is sent alone: see `Publisher::publish`.
    if window == 1 && !batch.is_empty() {
        return Ok((batch, position));
    }
    let next = format!(
        "SELECT o.*, EXISTS (SELECT 1 FROM outbox_held h \
         WHERE h.tenant_id = o.tenant_id AND h.aggregate_id = o.aggregate_id) AS waits \
         FROM outbox o WHERE o.position > $1 AND o.position <= $2 ORDER BY o.position LIMIT {window}"
    );
    let next = db.query_all_raw(statement(&db, &next, [position.into(), head.into()])).await?;
    let mut resources = HashSet::new();
    for row in &next {
        let candidate = Candidate::new(row)?;
        if !candidate.waits
            && let Some(resource) = &candidate.event.resource
            && !resources.insert(resource.clone())
        {
            break;
        }
        batch.push(candidate);
    }
    Ok((batch, if next.is_empty() { position.max(head) } else { position }))
}

/// Writes updates and the position if the owner still has the lease, which is renewed; returns whether it has.
///
/// # Errors
/// A fault of the database.
pub(super) async fn record(
    database: &Database,
    owner: Uuid,
    position: i64,
    updates: Vec<DeliveryUpdate>,
) -> Result<bool> {
    database
        .transact(move |transaction| {
            let updates = updates.clone();
            transaction.changes_no_list();
            Box::pin(async move { record_in(transaction, owner, position, updates).await })
        })
        .await
}

async fn record_in(
    transaction: &Transaction,
    owner: Uuid,
    position: i64,
    updates: Vec<DeliveryUpdate>,
) -> Result<bool> {
    let clock = clock(transaction.get_database_backend());
    let sql = format!(
        "UPDATE outbox_relay SET position = $1, until = {clock} + {} WHERE id = 1 AND owner = $2",
        LEASE.as_millis()
    );
    if execute(transaction, &sql, [position.into(), owner.into()]).await? == 0 {
        return Ok(false);
    }
    let mut unblocked = Vec::new();
    for update in updates {
        match update {
            DeliveryUpdate::Block { seq, attempts, due, reason } => {
                let sql = "INSERT INTO outbox_held (seq, position, tenant_id, aggregate_id, attempts, due, aside, reason) \
                           SELECT seq, position, tenant_id, aggregate_id, $2, $3, $4, $5 FROM outbox WHERE seq = $1 \
                           ON CONFLICT (seq) DO UPDATE SET attempts = excluded.attempts, due = excluded.due, \
                           aside = excluded.aside, reason = excluded.reason";
                let parked = attempts >= MAX_ATTEMPTS;
                let values = [seq.into(), attempts.into(), due.into(), parked.into(), reason.into()];
                execute(transaction, sql, values).await?;
            }
            DeliveryUpdate::Unblock { seq, tenant, aggregate } => {
                execute(transaction, "DELETE FROM outbox_held WHERE seq = $1", [seq.into()]).await?;
                unblocked.push((tenant, aggregate));
            }
        }
    }
    for (tenant, aggregate) in unblocked {
        let sql = "UPDATE outbox_held SET due = 0 WHERE seq = (SELECT seq FROM outbox_held \
                   WHERE tenant_id = $1 AND aggregate_id = $2 ORDER BY position LIMIT 1)";
        execute(transaction, sql, [tenant.into(), aggregate.into()]).await?;
    }
    Ok(true)
}

/// The database's own clock, in milliseconds since 1970: the clocks of the processes may differ.
fn clock(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
        _ => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
    }
}

pub(super) fn statement(db: &impl ConnectionTrait, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(db.get_database_backend(), sql, values)
}

pub(super) async fn execute(db: &Transaction, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<u64> {
    Ok(db.execute_raw(statement(db, sql, values)).await?.rows_affected())
}
