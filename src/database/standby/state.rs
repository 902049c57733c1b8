//! A standby: who is given a connection to it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sea_orm::{DbErr, sqlx};
use tokio::time::Instant;

use super::{
    facts::{ANSWER, Cause, Facts, flushed},
    samples::{MAX_LAG, Samples},
    writers::Writers,
};
use crate::database::{
    fault::{Fault, driver_error, is_timeout},
    party::Party,
    pool::{Pool, PooledConnection},
    position::{Position, Recency, Replayed},
};
use crate::telemetry::standby_metrics::{StandbyMetrics, WhyPrimary};

/// How long what a connection's server said holds.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// A standby, and what is known of it.
pub(in crate::database) struct Standby {
    pub(super) pool: Pool,
    works: AtomicBool,
    pub(super) samples: Mutex<Samples>,
    writers: Mutex<Writers>,
    pub(super) metrics: StandbyMetrics,
}

impl Standby {
    /// A standby that counts as failing until it is watched.
    pub(in crate::database) fn new(pool: Pool, metrics: StandbyMetrics) -> Arc<Self> {
        let (samples, writers) = (Mutex::default(), Mutex::new(Writers::new(Instant::now())));
        metrics.configured.set(1);
        Arc::new(Self { pool, works: AtomicBool::new(false), samples, writers, metrics })
    }

    /// A connection to it by which this party reads nothing that is too old; `None` where the primary is to be read.
    pub(in crate::database) async fn connection(
        &self,
        party: &Party,
        recency: &Recency,
        until: Instant,
    ) -> Option<PooledConnection> {
        let found = match self.wanted(party, recency) {
            Ok(wanted) => self.connection_with(party, wanted, until).await,
            Err(why) => Err(why),
        };
        match &found {
            Ok(_) => _ = self.metrics.reads.inc(),
            Err(why) => self.metrics.pass_over(*why),
        }
        found.ok()
    }

    /// What it must have replayed for this party.
    fn wanted(&self, party: &Party, recency: &Recency) -> Result<Position, WhyPrimary> {
        if !self.works.load(Ordering::SeqCst) {
            return Err(WhyPrimary::unavailable);
        }
        if recency.after.is_none() && lock(&self.writers).has_written(party, Instant::now()) {
            return Err(WhyPrimary::own_write);
        }
        let floor = lock(&self.samples).floor(Instant::now(), MAX_LAG).ok_or(WhyPrimary::unavailable)?;
        // What a caller has seen may be older than what anybody may read.
        Ok(recency.after.map_or(floor, |after| after.max(floor)))
    }

    async fn connection_with(
        &self,
        party: &Party,
        wanted: Position,
        until: Instant,
    ) -> Result<PooledConnection, WhyPrimary> {
        let mut connection = match self.pool.get(party, until).await {
            Ok(connection) => connection,
            Err(error) => {
                self.failed(&error);
                return Err(WhyPrimary::unavailable);
            }
        };
        let holds = |replayed: Replayed| replayed.position >= wanted && replayed.at.elapsed() < ASKED_AGAIN;
        if connection.replayed.is_some_and(holds) {
            return Ok(connection);
        }
        let facts = match Facts::ask(&mut connection, until.min(Instant::now() + ANSWER)).await {
            Ok(facts) => facts,
            Err(error) => {
                self.failed(&error);
                return Err(WhyPrimary::unavailable);
            }
        };
        if let Err(cause) = self.judge(facts) {
            self.fails(cause);
            return Err(WhyPrimary::unavailable);
        }
        connection.replayed = Some(Replayed { position: facts.position, at: Instant::now() });
        if facts.position >= wanted { Ok(connection) } else { Err(WhyPrimary::behind) }
    }

    /// Whether it is a standby of the primary.
    pub(super) fn judge(&self, facts: Facts) -> Result<(), Cause> {
        facts.follows(lock(&self.samples).identity().ok_or("the primary does not answer yet")?)
    }

    /// What a request was read from it for failed, and is read from the primary.
    pub(in crate::database) fn fell_through(&self, error: &DbErr) {
        self.metrics.pass_over(WhyPrimary::failed);
        self.failed(error);
    }

    /// The same where only the outcome is known.
    pub(in crate::database) fn gave_up(&self) {
        self.metrics.pass_over(WhyPrimary::failed);
    }

    /// A statement on it failed. What the standby refused by itself concerns that statement alone, and so may what took too
    /// long: whether it answers at all, the watch finds out.
    fn failed(&self, error: &DbErr) {
        tracing::debug!(%error, "the standby was asked in vain");
        let is_busy = matches!(driver_error(error), Some(sqlx::Error::PoolTimedOut));
        let is_lost = driver_error(error).is_some_and(|error| Fault::of(error) == Fault::Unavailable);
        if is_lost && !is_busy && !is_timeout(error) {
            self.fails("it does not answer");
        }
    }

    /// How far the primary had come when what was just committed on this connection was safe. A change is not delayed for long
    /// by what only says where to read it: then nothing is said.
    pub(in crate::database) async fn committed(
        &self,
        connection: &mut PooledConnection,
        until: Instant,
    ) -> Option<Position> {
        let flushed = flushed(connection, until.min(Instant::now() + ANSWER)).await;
        let position =
            flushed.inspect_err(|error| tracing::debug!(%error, "where a change is is not known")).ok()??;
        lock(&self.samples).raise(Instant::now(), position);
        Some(position)
    }

    /// How far the primary has come, on a connection that reads it.
    pub(in crate::database) async fn present(&self, primary: &Pool, party: &Party, until: Instant) -> Option<Position> {
        let mut connection = primary.get(party, until).await.ok()?;
        flushed(&mut connection, until).await.ok()?
    }

    /// This process has written for this party, or may have.
    pub(in crate::database) fn wrote(&self, party: &Party) {
        if let Party::Tenant(tenant) = party {
            lock(&self.writers).wrote(tenant, Instant::now());
        }
    }

    pub(super) fn fails(&self, cause: Cause) {
        // Whoever waits there for an answer is told: the primary has one.
        self.pool.discard(self.pool.retire_all());
        if self.works.swap(false, Ordering::SeqCst) {
            tracing::warn!(cause, "the standby is not read: reads go to the primary");
        }
        self.metrics.works.set(0);
    }

    pub(super) fn works(&self) {
        if !self.works.swap(true, Ordering::SeqCst) {
            tracing::info!("reads go to the standby");
        }
        self.metrics.works.set(1);
    }

    /// Closes its connections.
    pub(in crate::database) async fn close(&self) {
        self.pool.close().await;
    }
}

pub(super) fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
