//! A transaction for a unit of work by itself, run again where it gave way to another one or lost its connection.

use std::{sync::Arc, time::Duration};

use sea_orm::{DbBackend, DbErr, sqlx};
use tokio::{
    sync::{Mutex, Semaphore},
    time::{sleep, timeout_at},
};

use super::{
    committer::{Committer, FIRST_LOCK_TIMEOUT, begin, in_time},
    waiting::Waiting,
};
use crate::{
    database::{
        at_end::AtEnd,
        executor::unit_of_work::{Scope, UnitOfWork},
        fault::driver_error,
        pool::PooledConnection,
        span::{database_part, database_span, not_committed},
        transaction::Transaction,
    },
    error::{Error, Result},
    telemetry::span::Span,
};

/// How long each attempt but the first waits for a lock.
const FURTHER_LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause before work is run again, times the attempts so far.
const BACKOFF: Duration = Duration::from_millis(5);
/// The most attempts that are counted for it.
const MAX_BACKOFF: u32 = 20;

/// Why an attempt did not succeed. Unless it is final, nothing was committed.
enum AttemptError {
    /// It is refused, or cannot succeed, or its outcome is unknown.
    Final(Error),
    /// It gave way to another change, or to somebody's lock.
    Contention(Error),
    /// Its connection was lost before COMMIT was sent.
    ConnectionLost(Error),
}

/// Runs units of work by themselves.
pub(super) struct Alone {
    committer: Arc<Committer>,
    /// Bounds those who wait for long: a row that somebody else has locked must not use up all connections.
    lock_waiters: Semaphore,
}

impl Alone {
    pub(super) fn new(committer: Arc<Committer>, connections: usize) -> Self {
        Self { committer, lock_waiters: Semaphore::new(connections.div_ceil(4)) }
    }

    /// Runs work until it is committed or refused, or its time is over.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        scope: &Scope,
        work: &impl UnitOfWork<T>,
        waiting: Waiting,
    ) -> Result<T> {
        let deadline = scope.deadline;
        let until = deadline.for_statements();
        let mut waiting = Some(waiting);
        let (mut attempts, mut reconnected, mut permit) = (0, false, None);
        loop {
            attempts += 1;
            let lock_timeout = if permit.is_some() { FURTHER_LOCK_TIMEOUT } else { FIRST_LOCK_TIMEOUT };
            let error = match self.attempt(scope, lock_timeout, &mut waiting, work).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            permit = None;
            self.committer.metrics.write_failures.inc_by(u64::from(error.is_fault()));
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
        waiting: &mut Option<Waiting>,
        work: &impl UnitOfWork<T>,
    ) -> std::result::Result<T, AttemptError> {
        let Scope { party, deadline, .. } = scope;
        let (deadline, until) = (*deadline, deadline.for_statements());
        let mut connection =
            self.committer.pool.get(party, until).await.map_err(|error| AttemptError::Final(no_connection(error)))?;
        let begun = connection.begin(&begin(deadline, lock_timeout), until, &self.committer.steps).await;
        begun.map_err(|error| AttemptError::ConnectionLost(error.into()))?;
        drop(waiting.take());
        let mut span = database_span("transaction", DbBackend::Postgres);

        let at_end = AtEnd::new(&connection.statements);
        let connection = Arc::new(Mutex::new(connection));
        let (backend, steps) = (DbBackend::Postgres, Arc::clone(&self.committer.steps));
        let transaction = Transaction::new(Arc::clone(&connection), backend, deadline, steps, at_end);
        let outcome = match span.around(to_its_end(work, &transaction)).await {
            Ok(_) if deadline.has_passed() => Err(Error::unavailable("the change took too long")),
            outcome => outcome,
        };

        let mut connection = connection.lock().await;
        let ended = match outcome {
            Ok(value) => match self.commit_alone(&mut connection, scope, &span).await {
                Ok(()) => Ok(value),
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

    async fn commit_alone(
        &self,
        connection: &mut PooledConnection,
        scope: &Scope,
        span: &Span,
    ) -> std::result::Result<(), DbErr> {
        let _span = database_part(&span.as_parent(), "commit", DbBackend::Postgres);
        self.committer.commit(connection, &[scope], scope.deadline.for_answer()).await
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
