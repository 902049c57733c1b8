//! The outbox: stored events, and the positions that readers follow.
//!
//! A change writes its events without waiting for others ([`write()`]). Shortly after the commit, a background task
//! assigns them positions ([`assign_positions`]): one in the outbox, which the relay follows through the events of all
//! tenants, and in the same order one in the feed of their tenant, which its readers follow. A position is final: no event
//! is ever assigned a lower one afterwards.
//!
//! A process of an earlier release assigns positions in the outbox alone. Whichever process of this one comes next puts
//! those events into the feed, in the same order.

use std::{collections::BTreeMap, sync::Arc};

use chrono::TimeDelta;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ConnectionTrait, DbBackend, QueryResult, Statement,
};

use super::{
    entity,
    event::NewEvent,
    list,
    signal::{EventSignal, FeedUpdate},
};
use crate::{
    database::{Database, Rows, Transaction, horizon::Due},
    error::{Error, Result},
    telemetry::spans,
};

/// An event from later than this is damaged.
const CENTURY: TimeDelta = TimeDelta::days(36_525);
/// Maximum number of rows per INSERT: databases limit the number of parameters.
const ROWS: usize = 500;
/// Number of events that are assigned positions per transaction.
const BATCH: i64 = 1000;
/// Of how many events at once waiting readers are notified by type.
const NOTIFIED: i64 = 10_000;
/// Number of events deleted per transaction.
const PURGE: u64 = 1000;
/// Of how many tenants what is left of deleted events is looked for at once, and deleted per transaction.
const TENANTS: usize = 50;

/// Inserts events at the end of the transaction.
pub fn write(transaction: &Transaction, events: Vec<NewEvent>) {
    events.iter().for_each(|event| spans::event(&event.event_type, event.id));
    insertions(events).into_iter().for_each(|rows| transaction.insert_at_end(rows));
}

/// The rows of events, as many together as are inserted at once.
#[expect(clippy::disallowed_methods, reason = "events are written by these and by nothing else")]
#[must_use]
pub fn insertions(events: Vec<NewEvent>) -> Vec<Rows> {
    let rows: Vec<_> = events
        .into_iter()
        .map(|event| entity::ActiveModel {
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
        })
        .collect();
    rows.chunks(ROWS).map(|rows| Rows::of(rows.to_vec())).collect()
}

/// Assigns positions to the committed events that have none, and returns their number.
///
/// # Errors
/// A database error.
pub async fn assign_positions(database: &Database) -> Result<u64> {
    Ok(assign_all(database).await?.0)
}

/// Like [`assign_positions`], and wakes tasks that wait for positions, whichever process assigned them.
///
/// # Errors
/// A database error.
pub async fn assign_positions_and_wake(database: &Database, signal: &EventSignal) -> Result<()> {
    let (_, heads) = assign_all(database).await?;
    signal.reached(heads.outbox);
    let notified = signal.notified();
    if notified == Some(heads.feed) {
        return Ok(());
    }
    let waiting = signal.waiting_tenants();
    let updates = match waiting.is_empty() {
        true => Vec::new(),
        false => updates(database, &waiting, notified, heads.feed).await?,
    };
    signal.notify(updates, heads.feed);
    Ok(())
}

/// How far events have positions.
#[derive(Debug, Clone, Copy, Default)]
struct Heads {
    /// The last position in the outbox.
    outbox: i64,
    /// Up to which of them events are in the feed.
    feed: i64,
    /// Whether committed events have none.
    more: bool,
}

async fn assign_all(database: &Database) -> Result<(u64, Heads)> {
    let mut assigned = 0;
    loop {
        let heads = heads(&database.read()).await?;
        if !heads.more && heads.feed >= heads.outbox {
            return Ok((assigned, heads));
        }
        let (more, heads) = database.transact(|transaction| Box::pin(assign_batch(transaction))).await?;
        assigned += more;
        // What was committed meanwhile is for the next time.
        if !heads.more && heads.feed >= heads.outbox {
            return Ok((assigned, heads));
        }
    }
}

async fn heads(db: &impl ConnectionTrait) -> Result<Heads> {
    let sql = "SELECT o.position, f.position, EXISTS (SELECT 1 FROM outbox WHERE position IS NULL) \
         FROM outbox_head o JOIN feed_head f ON f.id = o.id WHERE o.id = 1";
    let Some(row) = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await? else {
        return Ok(Heads::default());
    };
    Ok(Heads { outbox: row.try_get_by_index(0)?, feed: row.try_get_by_index(1)?, more: row.try_get_by_index(2)? })
}

/// What waiting readers are notified of, up to this position of the outbox, in one query for all of them.
async fn updates(
    database: &Database,
    tenants: &[String],
    notified: Option<i64>,
    up_to: i64,
) -> Result<Vec<FeedUpdate>> {
    let db = database.read();
    let backend = db.get_database_backend();
    let statement = match notified {
        Some(notified) if up_to - notified <= NOTIFIED => {
            let sql = format!(
                "SELECT f.tenant_id, f.event_type, max(f.position) FROM outbox o \
                 JOIN feed_events f ON f.tenant_id = o.tenant_id AND f.outbox_position = o.position WHERE o.position > $2 AND o.position <= $3 AND {} GROUP BY f.tenant_id, f.event_type",
                list::contains(backend, "f.tenant_id", "$1", "text")
            );
            let values = [list::of_names(backend, tenants.iter()), notified.into(), up_to.into()];
            Statement::from_sql_and_values(backend, sql, values)
        }
        _ => {
            let sql = format!(
                "SELECT tenant_id, NULL, position FROM feed_tenants WHERE {}",
                list::contains(backend, "tenant_id", "$1", "text")
            );
            Statement::from_sql_and_values(backend, sql, [list::of_names(backend, tenants.iter())])
        }
    };
    let rows = db.query_all_raw(statement).await?;
    let update = |row: &QueryResult| {
        // A type that cannot be read is as good as none.
        let (tenant, event_type) = (row.try_get_by_index(0)?, row.try_get_by_index(1).unwrap_or_default());
        Ok(FeedUpdate { tenant, event_type, position: row.try_get_by_index(2)? })
    };
    rows.iter().map(update).collect()
}

/// Deletes the events from before `due`, all or only those that the broker has, and returns their number.
///
/// # Errors
/// A database error. What was deleted by then stays deleted.
pub async fn purge(database: &Database, due: Due, published_only: bool) -> Result<u64> {
    let mut purged = 0;
    loop {
        let last = database
            .transact(move |transaction| Box::pin(async move { purge_batch(transaction, due, published_only).await }))
            .await?;
        purged += last;
        if last < PURGE {
            break;
        }
    }
    forget(database).await?;
    Ok(purged)
}

/// Deletes what the feeds have of events that are no longer kept, except the place of a tenant's last one: that stays, for
/// the readers who have read until there. They are not shown in any case, so this is done afterwards, in small steps that
/// delay nobody. The tables tell of which tenants, whoever deleted the events: a process of an earlier release, or one that
/// was killed before it came here.
async fn forget(database: &Database) -> Result<()> {
    let mut after = String::new();
    loop {
        let tenants = tenants_with_deleted(database, &after).await?;
        let Some((last, _)) = tenants.last() else { return Ok(()) };
        after.clone_from(last);
        let some: Arc<[String]> = tenants.into_iter().filter_map(|(tenant, some)| some.then_some(tenant)).collect();
        let mut more = !some.is_empty();
        while more {
            let some = Arc::clone(&some);
            more = database
                .transact(move |transaction| {
                    let some = Arc::clone(&some);
                    Box::pin(async move { forget_batch(transaction, &some).await })
                })
                .await?;
        }
    }
}

/// The next tenants of which events were deleted, and whether their feeds still have some of those.
async fn tenants_with_deleted(database: &Database, after: &str) -> Result<Vec<(String, bool)>> {
    let db = database.read();
    let sql = format!(
        "SELECT p.tenant_id, EXISTS (SELECT 1 FROM feed_events f \
         WHERE f.tenant_id = p.tenant_id AND f.outbox_position < p.position) \
         FROM outbox_purged p WHERE p.tenant_id > $1 ORDER BY p.tenant_id LIMIT {TENANTS}"
    );
    let rows = db.query_all_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, [after.into()])).await?;
    rows.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

/// Returns whether there is more to delete.
async fn forget_batch(transaction: &Transaction, tenants: &[String]) -> Result<bool> {
    let sql = format!(
        "DELETE FROM feed_events WHERE tenant_id = $1 AND position IN (SELECT position FROM feed_events \
         WHERE tenant_id = $1 AND outbox_position < (SELECT position FROM outbox_purged WHERE tenant_id = $1) \
         ORDER BY outbox_position LIMIT {PURGE})"
    );
    let mut more = false;
    for tenant in tenants {
        let values = [tenant.as_str().into()];
        let statement = Statement::from_sql_and_values(transaction.get_database_backend(), &sql, values);
        more |= transaction.execute_raw(statement).await?.rows_affected() == PURGE;
    }
    Ok(more)
}

/// Several processes may do so concurrently: the lock on the head's row serializes them, and those of earlier releases.
async fn assign_batch(transaction: &Transaction) -> Result<(u64, Heads)> {
    transaction.changes_no_list();
    let backend = transaction.get_database_backend();
    lock_head(transaction).await?;
    let heads = heads(transaction).await?;
    if heads.feed < heads.outbox && backend == DbBackend::Postgres {
        // Such an event can be deleted already, by a process of an earlier release that knows nothing of the feed.
        transaction.execute_unprepared("LOCK TABLE outbox_purged IN SHARE MODE").await?;
    }
    let mut assigned = 0;
    if heads.more {
        let order = format!(
            "UPDATE outbox SET position = n.n + {} \
             FROM (SELECT seq, row_number() OVER (ORDER BY seq) AS n FROM \
             (SELECT seq FROM outbox WHERE position IS NULL ORDER BY seq LIMIT {BATCH}) AS unordered) AS n \
             WHERE outbox.seq = n.seq",
            heads.outbox
        );
        assigned = transaction.execute_raw(Statement::from_string(backend, order)).await?.rows_affected();
        let moved = format!("UPDATE outbox_head SET position = position + {assigned} WHERE id = 1");
        transaction.execute_raw(Statement::from_string(backend, moved)).await?;
    }
    // The positions of the outbox have no gaps. Events before these may be without a place in the feed, from a process of an
    // earlier release: those come first.
    let assigned_now = i64::try_from(assigned).unwrap_or_default();
    let head = heads.outbox + assigned_now;
    let feed = head.min(heads.feed + BATCH);
    put_into_feed(transaction, heads.feed, feed).await?;
    Ok((assigned, Heads { outbox: head, feed, more: assigned_now >= BATCH }))
}

/// On SQLite there is one writer in any case.
async fn lock_head(transaction: &Transaction) -> Result<()> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        let lock = "SELECT position FROM outbox_head WHERE id = 1 FOR UPDATE";
        transaction.query_one_raw(Statement::from_string(DbBackend::Postgres, lock)).await?;
    }
    Ok(())
}

/// Numbers the events between two positions of the outbox in the feeds of their tenants.
async fn put_into_feed(transaction: &Transaction, after: i64, up_to: i64) -> Result<()> {
    // Where a process of an earlier release deleted events that were in no feed yet, one position stands for them: so a
    // reader who has not read them learns that they are no longer kept.
    // The size is taken first, within: SQLite would else put the data themselves aside to number the rows.
    let number = "INSERT INTO feed_events (tenant_id, position, outbox_position, seq, event_id, event_type, bytes) \
         SELECT o.tenant_id, COALESCE(t.position, 0) \
         + CASE WHEN p.position > COALESCE(t.outbox_position, 0) THEN 1 ELSE 0 END \
         + row_number() OVER (PARTITION BY o.tenant_id ORDER BY o.position), \
         o.position, o.seq, o.event_id, o.event_type, o.bytes FROM \
         (SELECT tenant_id, position, seq, event_id, event_type, octet_length(data) AS bytes FROM outbox \
         WHERE position > $1 AND position <= $2) o \
         LEFT JOIN feed_tenants t ON t.tenant_id = o.tenant_id \
         LEFT JOIN outbox_purged p ON p.tenant_id = o.tenant_id";
    let remember = "INSERT INTO feed_tenants (tenant_id, position, outbox_position) \
         SELECT f.tenant_id, max(f.position), max(f.outbox_position) FROM outbox o \
         JOIN feed_events f ON f.tenant_id = o.tenant_id AND f.outbox_position = o.position \
         WHERE o.position > $1 AND o.position <= $2 GROUP BY f.tenant_id \
         ON CONFLICT (tenant_id) DO UPDATE SET position = excluded.position, \
         outbox_position = excluded.outbox_position";
    let backend = transaction.get_database_backend();
    for sql in [number, remember] {
        let statement = Statement::from_sql_and_values(backend, sql, [after.into(), up_to.into()]);
        transaction.execute_raw(statement).await?;
    }
    let moved = "UPDATE feed_head SET position = $1 WHERE id = 1";
    transaction.execute_raw(Statement::from_sql_and_values(backend, moved, [up_to.into()])).await?;
    Ok(())
}

/// Deletes the oldest events that are due, and records the last deleted position of each tenant. Returns their number.
async fn purge_batch(transaction: &Transaction, due: Due, published_only: bool) -> Result<u64> {
    let backend = transaction.get_database_backend();
    lock_head(transaction).await?;
    let which = match published_only {
        true => {
            "AND position <= (SELECT position FROM outbox_relay WHERE id = 1) \
             AND NOT EXISTS (SELECT 1 FROM outbox_held h WHERE h.seq = outbox.seq)"
        }
        false => "",
    };
    // Only events before the first that is not due: what comes later is younger, whatever a wrong clock said; a time that is
    // none counts for nothing. What is recorded is what this one statement deleted: the relay goes on meanwhile, and a second look could differ.
    let delete = format!(
        "DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox \
         WHERE position <= (SELECT position FROM feed_head WHERE id = 1) AND occurred_at < $1 \
         AND position < coalesce((SELECT position FROM outbox WHERE position IS NOT NULL AND occurred_at >= $1 \
         AND occurred_at < $2 ORDER BY position LIMIT 1), position + 1) {which} \
         ORDER BY position LIMIT {PURGE}) RETURNING tenant_id, position"
    );
    let due = due.instant();
    let values = [due.into(), (due + CENTURY).into()];
    let rows = transaction.query_all_raw(Statement::from_sql_and_values(backend, delete, values)).await?;
    let mut positions = BTreeMap::new();
    for row in &rows {
        // Of a damaged row, whose tenant cannot be read, no feed has to know.
        let Ok(tenant) = row.try_get_by_index::<String>(0) else { continue };
        let position: i64 = row.try_get_by_index(1)?;
        let last = positions.entry(tenant).or_insert(position);
        *last = position.max(*last);
    }
    let pairs = match backend {
        DbBackend::Postgres => "json_each_text(CAST($1 AS json))",
        _ => "json_each($1)",
    };
    // An event that was blocked for long is deleted after later ones: the last deleted position must not go back.
    let remember = format!(
        "INSERT INTO outbox_purged (tenant_id, position) SELECT key, CAST(value AS BIGINT) FROM {pairs} WHERE true \
         ON CONFLICT (tenant_id) DO UPDATE SET position = excluded.position \
         WHERE excluded.position > outbox_purged.position"
    );
    let values = [serde_json::to_string(&positions).map_err(Error::internal)?.into()];
    transaction.execute_raw(Statement::from_sql_and_values(backend, remember, values)).await?;
    Ok(rows.len() as u64)
}
