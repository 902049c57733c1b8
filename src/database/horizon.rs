//! What the retention takes for the time: [`Horizon`], so that a wrong clock deletes nothing.
//!
//! What was deleted is gone, and a clock may be wrong by years. So the horizon follows the clock only as far as time is
//! known to have passed: by as much as the process has been running, by a clock that is never set. It is stored; time in
//! which no process ran is not known of. For that, each start is given one day, if it needs it; beyond that, the horizon
//! waits until `crm retention confirm` says that the clock is right.
//!
//! - Starts are given their day at most once in [`BETWEEN_DAYS`], by the clock: what is restarted again and again with a
//!   wrong clock moves on by three days in one, and not by one with each start.
//! - Several processes do not add up: each counts from what was stored at its own start.
//! - A clock that is behind the horizon is followed at once: nothing is purged beyond it. The horizon itself goes back only
//!   once the clock has been behind for [`BELIEVED_AFTER`]: a machine that boots in 1970 and is corrected a moment later
//!   does not have to be confirmed.
//! - A database that was never purged begins with its newest row. This is looked up before the process writes anything
//!   ([`HorizonKeeper::begin`]), so that no row counts that a wrong clock has just written. While there is no row, nothing
//!   can be past its time.
//! - What is kept for a time is stamped with the horizon while the clock is behind it ([`HorizonKeeper::stamp`]): else it
//!   would seem old once the clock is right.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};
use tokio::sync::Mutex;

use super::{decode::decode, handle::Database, transaction::Transaction};
use crate::{
    error::Result,
    values::{Clock, Stopwatch},
};

/// What a start is given for the time in which nothing ran.
const DAY: TimeDelta = TimeDelta::days(1);
/// The shortest time between two such days.
const BETWEEN_DAYS: TimeDelta = TimeDelta::hours(12);
/// How far the clock may be ahead without anybody being told.
const TOLERANCE: TimeDelta = TimeDelta::hours(1);
/// How long a clock must have been behind the horizon to be believed.
const BELIEVED_AFTER: Duration = Duration::from_secs(86_400);

/// The time, as far as the retention believes the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon(DateTime<Utc>);

/// The instant before which something is past its time. Only a [`Horizon`] makes one, never a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due(DateTime<Utc>);

impl Horizon {
    /// What is older than `days`.
    #[must_use]
    pub fn days_before(self, days: u16) -> Due {
        Due(self.0 - TimeDelta::days(i64::from(days)))
    }

    /// As a timestamp.
    #[must_use]
    pub fn instant(self) -> DateTime<Utc> {
        self.0
    }
}

impl Due {
    /// As a timestamp.
    #[must_use]
    pub fn instant(self) -> DateTime<Utc> {
        self.0
    }
}

/// Moves the horizon on, for one process from its start.
#[derive(Debug)]
pub struct HorizonKeeper {
    clock: Clock,
    running: Stopwatch,
    progress: Mutex<Progress>,
    /// The stored horizon as it was last seen, in milliseconds since 1970.
    seen: AtomicI64,
}

/// The horizon after it was moved on.
#[derive(Debug, Clone, Copy)]
pub struct Advanced {
    /// The horizon.
    pub horizon: Horizon,
    /// How far the clock is ahead of it, while it waits to be confirmed.
    pub waiting: Option<TimeDelta>,
}

impl HorizonKeeper {
    /// A process that starts now.
    #[must_use]
    pub fn start(clock: Clock) -> Self {
        Self { running: clock.stopwatch(), clock, progress: Mutex::default(), seen: AtomicI64::new(i64::MIN) }
    }

    /// The time to stamp a row with that is kept for a time: `now`, unless the clock is behind the horizon.
    #[must_use]
    pub fn stamp(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.seen.load(Ordering::Relaxed)).map_or(now, |horizon| horizon.max(now))
    }

    /// Moves the stored horizon on for the first time, before this process writes anything else.
    ///
    /// # Errors
    /// A database error. What the horizon is to begin with is then known nevertheless, unless that could not be read.
    pub async fn begin(&self, database: &Database) -> Result<Advanced> {
        let db = database.read();
        if read(&db).await?.is_none() {
            self.progress.lock().await.initial = newest_row(&db).await?;
        }
        self.advance(database).await
    }

    /// Moves the stored horizon on as far as is known to be safe. Logs where it begins or ceases to wait.
    ///
    /// # Errors
    /// A database error.
    pub async fn advance(&self, database: &Database) -> Result<Advanced> {
        let mut progress = self.progress.lock().await;
        let (before, now, running) = (*progress, self.clock.now().0, self.running.elapsed());
        let moved = database
            .transact(move |transaction| {
                Box::pin(async move {
                    let mut after = before;
                    let locked = lock(transaction).await?;
                    let newest = match (locked, before.initial) {
                        (None, None) => newest_row(transaction).await?,
                        (_, initial) => initial,
                    };
                    let Some(mut stored) = locked.or(newest.map(|row| Stored::initial(row, now))) else {
                        return Ok(None);
                    };
                    after.advance(&mut stored, now, running);
                    write(transaction, stored).await?;
                    Ok(Some((stored, after, locked.is_none())))
                })
            })
            .await?;
        let Some((stored, after, is_first)) = moved else {
            return Ok(Advanced { horizon: Horizon(DateTime::UNIX_EPOCH), waiting: None });
        };
        *progress = after;
        self.seen.store(stored.horizon.timestamp_millis(), Ordering::Relaxed);
        let (clock, horizon) = (now.to_rfc3339(), stored.horizon.to_rfc3339());
        if is_first {
            tracing::info!(clock, horizon, "the retention begins");
        }
        match (before.waiting, after.waiting) {
            (None, Some(_)) => tracing::error!(
                clock,
                horizon,
                "the clock is further ahead than time is known to have passed: nothing younger is deleted until the clock \
                 is right, or `crm retention confirm` says that it is"
            ),
            (Some(_), None) => tracing::info!(clock, horizon, "the retention follows the clock again"),
            _ => {}
        }
        Ok(Advanced { horizon: Horizon(stored.horizon.min(now)), waiting: after.waiting })
    }
}

/// The stored horizon, if anything was purged yet.
///
/// # Errors
/// A database error.
pub async fn stored(database: &Database) -> Result<Option<Horizon>> {
    Ok(read(&database.read()).await?.map(|stored| Horizon(stored.horizon)))
}

/// Moves the horizon to `now`, because somebody says that it is the time, and returns it as it was.
///
/// # Errors
/// A database error.
pub async fn confirm(database: &Database, now: DateTime<Utc>) -> Result<Option<Horizon>> {
    database
        .transact(move |transaction| {
            Box::pin(async move {
                let before = lock(transaction).await?;
                let granted_at = before.and_then(|stored| stored.granted_at).map(|at| at.min(now));
                write(transaction, Stored { horizon: now, granted_at }).await?;
                Ok(before.map(|stored| Horizon(stored.horizon)))
            })
        })
        .await
}

/// What processes share.
#[derive(Debug, Clone, Copy)]
struct Stored {
    horizon: DateTime<Utc>,
    /// When a start was last given a day, by its clock.
    granted_at: Option<DateTime<Utc>>,
}

/// What a process knows by itself.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// What the horizon begins with if none is stored, where that was looked up at the start.
    initial: Option<DateTime<Utc>>,
    /// The horizon that it counts from, and how long it was running then.
    anchor: Option<(DateTime<Utc>, Duration)>,
    /// The horizon as it left it.
    left: Option<DateTime<Utc>>,
    /// Whether it was given its day.
    granted: bool,
    /// Since when the clock has been behind the horizon.
    behind: Option<Duration>,
    waiting: Option<TimeDelta>,
}

impl Stored {
    fn initial(newest_row: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        Self { horizon: newest_row.min(now), granted_at: None }
    }

    /// Whether a start may be given its day. A day that was given in the future was given by a wrong clock.
    fn may_grant(&mut self, now: DateTime<Utc>) -> bool {
        self.granted_at = self.granted_at.map(|at| at.min(now));
        self.granted_at.is_none_or(|at| now - at >= BETWEEN_DAYS)
    }
}

impl Progress {
    fn advance(&mut self, stored: &mut Stored, now: DateTime<Utc>, running: Duration) {
        self.follow_back(stored, now, running);
        let since = |since: Duration| TimeDelta::from_std(running.saturating_sub(since)).unwrap_or_default();
        // From the start of the process.
        let (from, at) = self.anchor.unwrap_or((stored.horizon, Duration::ZERO));
        let went_back = self.left.is_some_and(|left| stored.horizon < left);
        let is_beyond = stored.horizon > from + since(at);
        // Another process or an operator moved it: what they know holds from now on.
        let (mut from, at) = if went_back || is_beyond { (stored.horizon, running) } else { (from, at) };
        if now > from + since(at) && !self.granted && stored.may_grant(now) {
            from += DAY;
            self.granted = true;
            stored.granted_at = Some(now);
        }
        stored.horizon = stored.horizon.max(now.min(from + since(at)));
        self.anchor = Some((from, at));
        self.left = Some(stored.horizon);
        let ahead = now - stored.horizon;
        // A day that it may yet be given is not worth a word.
        let unsaid = if self.granted { TOLERANCE } else { DAY + TOLERANCE };
        self.waiting = (ahead > unsaid).then_some(ahead);
    }

    /// Moves the horizon back to a clock that has been behind it for long enough.
    fn follow_back(&mut self, stored: &mut Stored, now: DateTime<Utc>, running: Duration) {
        if now >= stored.horizon {
            self.behind = None;
            return;
        }
        let since = *self.behind.get_or_insert(running);
        if running.saturating_sub(since) >= BELIEVED_AFTER {
            let horizon = stored.horizon.to_rfc3339();
            tracing::warn!(
                horizon,
                clock = now.to_rfc3339(),
                "the clock has been behind the retention for a day: it holds now"
            );
            stored.horizon = now;
            self.behind = None;
        }
    }
}

/// What is stored, if anything was purged yet. Other processes wait until the transaction ends.
async fn lock(transaction: &Transaction) -> Result<Option<Stored>> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        let sql = "SELECT id FROM retention_horizon WHERE id = 1 FOR UPDATE";
        transaction.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    }
    read(transaction).await
}

async fn read(db: &impl ConnectionTrait) -> Result<Option<Stored>> {
    let sql = "SELECT horizon, granted_at FROM retention_horizon WHERE id = 1";
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    let stored = |row: sea_orm::QueryResult| {
        Ok(Stored { horizon: row.try_get_by_index(0)?, granted_at: row.try_get_by_index(1)? })
    };
    row.map(stored).transpose()
}

async fn write(transaction: &Transaction, stored: Stored) -> Result<()> {
    let sql = "INSERT INTO retention_horizon (id, horizon, granted_at) VALUES (1, $1, $2) \
               ON CONFLICT (id) DO UPDATE SET horizon = excluded.horizon, granted_at = excluded.granted_at";
    let values: [Value; 2] = [stored.horizon.into(), stored.granted_at.into()];
    let statement = Statement::from_sql_and_values(transaction.get_database_backend(), sql, values);
    transaction.execute_raw(statement).await?;
    Ok(())
}

/// When the newest row was written that the retention is about. The trail has no index by time, so it comes last.
async fn newest_row(db: &impl ConnectionTrait) -> Result<Option<DateTime<Utc>>> {
    let mut newest = None;
    for sql in [
        "SELECT max(created_at) FROM idempotent",
        "SELECT max(created_at) FROM inbox",
        "SELECT max(created_at) FROM inbox_events",
        "SELECT occurred_at FROM outbox ORDER BY seq DESC LIMIT 1",
    ] {
        newest = newest.max(instant(db, sql).await?);
    }
    match newest {
        None => instant(db, "SELECT max(occurred_at) FROM audit_logs").await,
        newest => Ok(newest),
    }
}

/// The instant that a query finds; none where it is damaged, so that the others count.
async fn instant(db: &impl ConnectionTrait, sql: &str) -> Result<Option<DateTime<Utc>>> {
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    Ok(row.and_then(|row| decode(|| row.try_get_by_index::<Option<DateTime<Utc>>>(0)).ok().flatten()))
}
