//! PostgreSQL: a transaction for each unit of work, run again where it gave way to another one or lost its connection.

use std::{sync::Arc, time::Duration};

use sea_orm::{DbBackend, DbErr, sqlx};
use tokio::{
    sync::{Mutex, Semaphore},
    time::{Instant, sleep, timeout_at},
};

use super::{
    resource_locks::ResourceLocks,
    unit_of_work::{Scope, UnitOfWork, WAIT},
};
use crate::{
    database::{
        at_end::AtEnd,
        connect::planning,
        deadline::Deadline,
        fault::driver_error,
        health::Health,
        pool::{Pool, PooledConnection},
        span::{database_span, not_committed},
        standby::Standby,
        steps::Steps,
        transaction::Transaction,
    },
    error::{Error, Result},
    telemetry::{database_metrics::DatabaseMetrics, span::Span},
};

/// How long a first attempt waits for a lock.
const FIRST_LOCK_TIMEOUT: Duration = Duration::from_millis(200);
/// How long each further one does.
const FURTHER_LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause before work is run again, times the attempts so far.
const BACKOFF: Duration = Duration::from_millis(5);
/// The most attempts that are counted for it.
const MAX_BACKOFF: u32 = 20;
/// COMMIT. It waits for the disk, whatever somebody set since the start. The server must not cancel it, because it could
/// have taken effect all the same. In a transaction that failed, COMMIT alone would be a ROLLBACK that succeeds; the settings
/// are refused.
const COMMIT: &str = "SELECT set_config('synchronous_commit', 'on', true) \
                      WHERE current_setting('synchronous_commit') = 'off'; \
                      SET LOCAL statement_timeout = 0; COMMIT";

/// What commits changes on PostgreSQL.
pub(in crate::database) struct PostgresExecutor {
    pool: Pool,
    resource_locks: ResourceLocks,
    /// Bounds those who wait for long: a row that somebody else has locked must not use up all connections.
    lock_waiters: Semaphore,
    /// Where requests are read that need not be read here.
    standby: Option<Arc<Standby>>,
    steps: Arc<Steps>,
    health: Arc<Health>,
    metrics: DatabaseMetrics,
}

/// A change that waits for its transaction to begin, until this is dropped.
struct Waiting<'m> {
    metrics: &'m DatabaseMetrics,
    since: Instant,
    _span: Span,
}

impl<'m> Waiting<'m> {
    fn new(metrics: &'m DatabaseMetrics) -> Self {
        metrics.writes_waiting.inc();
        Self { metrics, since: Instant::now(), _span: Span::of_current(WAIT) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.metrics.writes_waiting.dec();
        self.metrics.write_wait.observe(self.since.elapsed().as_secs_f64());
    }
}

/// Why an attempt did not succeed. Unless it is final, nothing was committed.
enum AttemptError {
    /// It is refused, or cannot succeed, or its outcome is unknown.
    Final(Error),
    /// It gave way to another change, or to somebody's lock.
    Contention(Error),
    /// Its connection was lost before COMMIT was sent.
    ConnectionLost(Error),
}

impl PostgresExecutor {
    pub(in crate::database) fn new(
        (pool, connections): (Pool, usize),
        standby: Option<Arc<Standby>>,
        steps: Arc<Steps>,
        health: Arc<Health>,
        metrics: DatabaseMetrics,
    ) -> Self {
        let lock_waiters = Semaphore::new(connections.div_ceil(4));
        Self { pool, resource_locks: ResourceLocks::default(), lock_waiters, standby, steps, health, metrics }
    }

    /// Runs work until it is committed or refused, or its time is over.
    pub(super) async fn transact<T: Send + 'static>(&self, scope: &Scope, work: impl UnitOfWork<T>) -> Result<T> {
        let Scope { resource, deadline, .. } = *scope;
        let until = deadline.for_statements();
        let mut waiting = Some(Waiting::new(&self.metrics));
        let _lock = match resource {
            Some(resource) => Some(in_time(timeout_at(until, self.resource_locks.lock(resource)).await)?),
            None => None,
        };
        let (mut attempts, mut reconnected, mut permit) = (0, false, None);
        loop {
            attempts += 1;
            let lock_timeout = if permit.is_some() { FURTHER_LOCK_TIMEOUT } else { FIRST_LOCK_TIMEOUT };
            let error = match self.attempt(scope, lock_timeout, &mut waiting, &work).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            permit = None;
            self.metrics.write_failures.inc_by(u64::from(error.is_fault()));
            match error {
                AttemptError::Final(error) => return Err(error),
                AttemptError::ConnectionLost(error) | AttemptError::Contention(error) if deadline.has_passed() => {
                    return Err(error);
                }
                AttemptError::ConnectionLost(error) if reconnected => return Err(error),
                // All connections as old as the lost one are retired: the next one is fresh.
                AttemptError::ConnectionLost(_) => reconnected = true,
                AttemptError::Contention(_) => {
                    sleep(BACKOFF * Ord::min(attempts, MAX_BACKOFF)).await;
                    permit = in_time(timeout_at(until, self.lock_waiters.acquire()).await)?.ok();
                }
            }
        }
    }

    /// One transaction. `Ok` means that COMMIT returned.
    async fn attempt<T: Send + 'static>(
        &self,
        scope: &Scope,
        lock_timeout: Duration,
        waiting: &mut Option<Waiting<'_>>,
        work: &impl UnitOfWork<T>,
    ) -> std::result::Result<T, AttemptError> {
        let Scope { party, deadline, .. } = scope;
        let (deadline, until) = (*deadline, deadline.for_statements());
        let mut connection =
            self.pool.get(party, until).await.map_err(|error| AttemptError::Final(no_connection(error)))?;
        let begun = connection.begin(&begin(deadline, lock_timeout), until, &self.steps).await;
        begun.map_err(|error| AttemptError::ConnectionLost(error.into()))?;
        drop(waiting.take());
        let mut span = database_span("transaction", DbBackend::Postgres);

        let at_end = AtEnd::new(&connection.statements);
        let connection = Arc::new(Mutex::new(connection));
        let (backend, steps) = (DbBackend::Postgres, Arc::clone(&self.steps));
        let transaction = Transaction::new(Arc::clone(&connection), backend, deadline, steps, at_end);
        let outcome = match span.around(to_its_end(work, &transaction)).await {
            Ok(_) if deadline.has_passed() => Err(Error::unavailable("the change took too long")),
            outcome => outcome,
        };

        let mut connection = connection.lock().await;
        let ended = match outcome {
            Ok(value) => match span.around(self.commit(&mut connection, scope)).await {
                Ok(()) => {
                    self.health.writes_work();
                    Ok(value)
                }
                // The server answered, with a refusal: nothing is committed.
                Err(error) if connection.is_trusted() => Err(AttemptError::of(error.into())),
                Err(error) => Err(AttemptError::Final(Error::outcome_unknown(error))),
            },
            Err(error) if !connection.is_trusted() => Err(AttemptError::ConnectionLost(error)),
            Err(error) => {
                // A connection on which this fails is closed, which rolls back its transaction too.
                let _closed = connection.rollback(deadline.for_answer()).await;
                Err(AttemptError::of(error))
            }
        };
        if let Err(error) = &ended {
            not_committed(&mut span, error.error());
        }
        ended
    }

    async fn commit(&self, connection: &mut PooledConnection, scope: &Scope) -> std::result::Result<(), DbErr> {
        let (ended, _span) = (Instant::now(), database_span("commit", DbBackend::Postgres));
        let until = scope.deadline.for_answer();
        let committed = connection.commit(COMMIT, until, &self.steps).await;
        self.metrics.commit.observe(ended.elapsed().as_secs_f64());
        self.metrics.group_size.observe(1.0);
        let Some(standby) = &self.standby else { return committed };
        // Also where it is not known whether it was committed.
        standby.wrote(&scope.party);
        if committed.is_ok()
            && let Some(position) = standby.committed(connection, until).await
        {
            scope.recency.reach(position);
        }
        committed
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

impl AttemptError {
    /// Whether it is neither a refusal nor what other changes brought about.
    fn is_fault(&self) -> bool {
        match self {
            Self::Final(error) => error.is_fault() && !error.is_contention(),
            Self::Contention(_) => false,
            Self::ConnectionLost(_) => true,
        }
    }

    fn error(&self) -> &Error {
        match self {
            Self::Final(error) | Self::Contention(error) | Self::ConnectionLost(error) => error,
        }
    }

    fn of(error: Error) -> Self {
        if error.is_contention() { Self::Contention(error) } else { Self::Final(error) }
    }
}

/// Runs work, and what it left to its end.
async fn to_its_end<T>(work: &impl UnitOfWork<T>, transaction: &Transaction) -> Result<T> {
    let value = work(transaction).await?;
    transaction.insert_now().await?;
    Ok(value)
}

/// That too many wait for a connection says nothing of the database.
fn no_connection(error: DbErr) -> Error {
    match driver_error(&error) {
        Some(sqlx::Error::PoolTimedOut) => Error::contention("too many changes are waiting"),
        _ => error.into(),
    }
}

/// BEGIN and its time limits: in one message, and local to the transaction, so that they hold through a pooler too.
fn begin(deadline: Deadline, lock_timeout: Duration) -> String {
    let remaining = deadline.remaining().as_millis().max(1);
    let lock_timeout = lock_timeout.as_millis().min(remaining);
    format!(
        "BEGIN; SET LOCAL statement_timeout = {remaining}; SET LOCAL lock_timeout = {lock_timeout}; \
         SET LOCAL idle_in_transaction_session_timeout = {remaining}; {}",
        planning("SET LOCAL")
    )
}

fn in_time<T>(outcome: std::result::Result<T, tokio::time::error::Elapsed>) -> Result<T> {
    outcome.map_err(|_| Error::contention("another change took too long"))
}
