//! What the relay keeps in the database: how far it came and whose turn it is (`outbox_relay`), and what is held behind that
//! (`outbox_held`).

use std::{collections::HashSet, time::Duration};

use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, QueryResult, Statement, Value};
use uuid::Uuid;

use super::TRIES;
use crate::{app::App, database::Transaction, error::Result, events::entity::Model};

/// For how long a relay that has not been heard of keeps the others from working.
const LEASE: Duration = Duration::from_secs(2);

/// How far the relay came, for operators.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The last position that was given out.
    pub head: i64,
    /// Up to here everything is published or held.
    pub position: i64,
    /// Events that are held.
    pub held: i64,
    /// Events that are set aside.
    pub aside: i64,
    /// Events that fall due for another try.
    pub(super) due: i64,
}

/// An event that is set aside, for operators.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Aside {
    /// Its id.
    pub event_id: Uuid,
    /// Its type.
    pub event_type: String,
    /// The tenant it belongs to.
    pub tenant_id: String,
    /// The resource it tells of.
    pub aggregate_id: Uuid,
    /// Why the broker refused it last.
    pub reason: Option<String>,
}

/// An event that may be sent.
pub(super) struct Candidate {
    pub row: Model,
    /// How often it was refused, if it is held.
    pub held: Option<i32>,
    /// Whether one of the same resource is held before it.
    pub blocked: bool,
}

/// What became of an event, to be written down.
#[derive(Debug, Clone)]
pub(super) enum Mark {
    /// It waits: refused so often, with the last reason; `due` where it is tried again.
    Hold { seq: i64, attempts: i32, due: Option<i64>, reason: Option<String> },
    /// It was held, and is confirmed.
    Free { seq: i64, tenant: String, aggregate: Uuid },
}

impl Candidate {
    fn held(row: &QueryResult) -> Result<Self> {
        let attempts = row.try_get("", "attempts")?;
        Ok(Self { row: Model::from_query_result(row, "")?, held: Some(attempts), blocked: false })
    }

    fn next(row: &QueryResult) -> Result<Self> {
        let blocked = row.try_get("", "blocked")?;
        Ok(Self { row: Model::from_query_result(row, "")?, held: None, blocked })
    }
}

/// The position to go on from, if it is this relay's turn.
///
/// # Errors
/// A fault of the database.
pub(super) async fn take_lease(app: &App, owner: Uuid) -> Result<Option<i64>> {
    app.database()
        .transact(move |transaction| {
            Box::pin(async move {
                let clock = clock(transaction.get_database_backend());
                let sql = format!(
                    "UPDATE outbox_relay SET owner = $1, until = {clock} + {} \
                     WHERE id = 1 AND (owner = $1 OR until < {clock})",
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

/// What can be sent at once: held events that are due, then those behind `position`, up to the first of a resource that
/// has one on its way already. With the position to go on from: up to `head` where nothing is left before it, because
/// the retention took it while there was no broker.
pub(super) async fn wave(app: &App, position: i64, head: i64, window: u64) -> Result<(Vec<Candidate>, i64)> {
    let db = app.database().read();
    let held = format!(
        "SELECT o.*, h.attempts FROM outbox_held h JOIN outbox o ON o.seq = h.seq \
         WHERE h.due <= $1 ORDER BY h.position LIMIT {window}"
    );
    let held = db.query_all_raw(statement(&db, &held, [now_millis(app).into()])).await?;
    let mut wave = held.iter().map(Candidate::held).collect::<Result<Vec<_>>>()?;
    // One alone after a failure: see [`Publisher::publish`].
    if window == 1 && !wave.is_empty() {
        return Ok((wave, position));
    }
    let next = format!(
        "SELECT o.*, EXISTS (SELECT 1 FROM outbox_held h \
         WHERE h.tenant_id = o.tenant_id AND h.aggregate_id = o.aggregate_id) AS blocked \
         FROM outbox o WHERE o.position > $1 ORDER BY o.position LIMIT {window}"
    );
    let next = db.query_all_raw(statement(&db, &next, [position.into()])).await?;
    let mut on_their_way = HashSet::new();
    for row in &next {
        let candidate = Candidate::next(row)?;
        if !candidate.blocked && !on_their_way.insert((candidate.row.tenant_id.clone(), candidate.row.aggregate_id)) {
            break;
        }
        wave.push(candidate);
    }
    Ok((wave, if next.is_empty() { position.max(head) } else { position }))
}

/// Lets the others work at once.
///
/// # Errors
/// A fault of the database: then they wait until the lease is over.
pub(super) async fn release(app: &App, owner: Uuid) -> Result<()> {
    app.database()
        .transact(move |transaction| {
            Box::pin(async move {
                let sql = "UPDATE outbox_relay SET until = 0 WHERE id = 1 AND owner = $1";
                execute(transaction, sql, [owner.into()]).await.map(drop)
            })
        })
        .await
}

/// Writes marks and the position, if the lease is the owner's; says whether it was.
///
/// # Errors
/// A fault of the database.
pub(super) async fn write(app: &App, owner: Uuid, position: i64, marks: Vec<Mark>) -> Result<bool> {
    app.database()
        .transact(move |transaction| {
            let marks = marks.clone();
            Box::pin(async move { write_in(transaction, owner, position, marks).await })
        })
        .await
}

async fn write_in(transaction: &Transaction, owner: Uuid, position: i64, marks: Vec<Mark>) -> Result<bool> {
    let clock = clock(transaction.get_database_backend());
    let sql = format!(
        "UPDATE outbox_relay SET position = $1, until = {clock} + {} WHERE id = 1 AND owner = $2",
        LEASE.as_millis()
    );
    if execute(transaction, &sql, [position.into(), owner.into()]).await? == 0 {
        return Ok(false);
    }
    let mut freed = Vec::new();
    for mark in marks {
        match mark {
            Mark::Hold { seq, attempts, due, reason } => {
                let sql = "INSERT INTO outbox_held (seq, position, tenant_id, aggregate_id, attempts, due, aside, reason) \
                           SELECT seq, position, tenant_id, aggregate_id, $2, $3, $4, $5 FROM outbox WHERE seq = $1 \
                           ON CONFLICT (seq) DO UPDATE SET attempts = excluded.attempts, due = excluded.due, \
                           aside = excluded.aside, reason = excluded.reason";
                let values = [seq.into(), attempts.into(), due.into(), (attempts >= TRIES).into(), reason.into()];
                execute(transaction, sql, values).await?;
            }
            Mark::Free { seq, tenant, aggregate } => {
                execute(transaction, "DELETE FROM outbox_held WHERE seq = $1", [seq.into()]).await?;
                freed.push((tenant, aggregate));
            }
        }
    }
    for (tenant, aggregate) in freed {
        let sql = "UPDATE outbox_held SET due = 0 WHERE seq = (SELECT seq FROM outbox_held \
                   WHERE tenant_id = $1 AND aggregate_id = $2 ORDER BY position LIMIT 1)";
        execute(transaction, sql, [tenant.into(), aggregate.into()]).await?;
    }
    Ok(true)
}

/// How far the relay came.
///
/// # Errors
/// A fault of the database.
pub async fn standing(app: &App) -> Result<Standing> {
    let db = app.database().read();
    let sql = "SELECT h.position, r.position, (SELECT count(*) FROM outbox_held), \
               (SELECT count(*) FROM outbox_held WHERE aside), (SELECT count(*) FROM outbox_held WHERE due <= $1) \
               FROM outbox_head h, outbox_relay r WHERE h.id = 1 AND r.id = 1";
    let now = app.now().0.timestamp_millis();
    let Some(row) = db.query_one_raw(statement(&db, sql, [now.into()])).await? else { return Ok(Standing::default()) };
    Ok(Standing {
        head: row.try_get_by_index(0)?,
        position: row.try_get_by_index(1)?,
        held: row.try_get_by_index(2)?,
        aside: row.try_get_by_index(3)?,
        due: row.try_get_by_index(4)?,
    })
}

/// The events that are set aside, oldest first, at most so many.
///
/// # Errors
/// A fault of the database.
pub async fn aside(app: &App, limit: u64) -> Result<Vec<Aside>> {
    let db = app.database().read();
    let sql = format!(
        "SELECT o.event_id, o.event_type, o.tenant_id, o.aggregate_id, h.reason \
         FROM outbox_held h JOIN outbox o ON o.seq = h.seq WHERE h.aside ORDER BY h.position LIMIT {limit}"
    );
    let rows = db.query_all_raw(statement(&db, &sql, [])).await?;
    rows.iter().map(|row| Ok(Aside::from_query_result(row, "")?)).collect()
}

/// Lets the events that are set aside be sent again, all or one; gives how many there were.
///
/// # Errors
/// A fault of the database.
pub async fn retry(app: &App, event: Option<Uuid>) -> Result<u64> {
    app.database()
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

/// The present instant, in milliseconds since 1970.
pub(super) fn now_millis(app: &App) -> i64 {
    app.now().0.timestamp_millis()
}

/// The database's own clock, in milliseconds since 1970: that of each process may be off.
fn clock(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
        _ => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
    }
}

fn statement(db: &impl ConnectionTrait, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(db.get_database_backend(), sql, values)
}

async fn execute(db: &Transaction, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<u64> {
    Ok(db.execute_raw(statement(db, sql, values)).await?.rows_affected())
}
