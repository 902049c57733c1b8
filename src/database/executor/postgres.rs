//! PostgreSQL: a transaction for each piece of work, run again where it gave way to another one or lost its connection.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, Semaphore},
    time::{sleep, timeout_at},
};
use uuid::Uuid;

use super::{Work, turns::Turns};
use crate::{
    database::{deadline::Deadline, health::Health, pool::Pool, steps::Steps, transaction::Transaction},
    error::{ApiError, Result},
};
use sea_orm::DbBackend;

/// How long a first attempt waits for a lock.
const FIRST_LOCK: Duration = Duration::from_millis(200);
/// How long each further one does.
const FURTHER_LOCK: Duration = Duration::from_secs(1);
/// How long to wait before work is run again, for each time that it was run.
const AGAIN: Duration = Duration::from_millis(5);
/// The most of it.
const LONGEST: u32 = 20;
/// COMMIT. It waits for the disk, whatever somebody set since the start. The server must not cancel it: it could have taken
/// effect all the same. In a transaction that failed, the settings are refused, where COMMIT alone would be a ROLLBACK that
/// succeeds.
const COMMIT: &str = "SELECT set_config('synchronous_commit', 'on', true) \
                      WHERE current_setting('synchronous_commit') = 'off'; \
                      SET LOCAL statement_timeout = 0; COMMIT";

/// What commits changes on PostgreSQL.
pub(in crate::database) struct PostgresExecutor {
    pool: Pool,
    turns: Turns,
    /// Places for those who wait for a lock for long: a row that a stranger holds does not use up the connections of all.
    waiting_for_locks: Semaphore,
    steps: Arc<Steps>,
    health: Arc<Health>,
}

/// Why an attempt did not succeed. Unless it is over, nothing was committed.
enum Failed {
    /// It is refused, or cannot succeed, or its outcome is open.
    Over(ApiError),
    /// It gave way to another change, or to somebody's lock.
    Contention(ApiError),
    /// Its connection was lost before COMMIT was sent.
    Lost(ApiError),
}

impl PostgresExecutor {
    pub(in crate::database) fn new(pool: Pool, connections: usize, steps: Arc<Steps>, health: Arc<Health>) -> Self {
        let waiting_for_locks = Semaphore::new(connections.div_ceil(4));
        Self { pool, turns: Turns::default(), waiting_for_locks, steps, health }
    }

    /// Runs work until it is committed or refused, or its time is over.
    pub(super) async fn transact<T: Send + 'static>(
        &self,
        resource: Option<Uuid>,
        deadline: Deadline,
        work: impl Work<T>,
    ) -> Result<T> {
        let until = deadline.for_statements();
        let _turn = match resource {
            Some(resource) => Some(in_time(timeout_at(until, self.turns.wait(resource)).await)?),
            None => None,
        };
        let (mut attempts, mut repeated, mut place) = (0, false, None);
        loop {
            attempts += 1;
            let lock = if place.is_some() { FURTHER_LOCK } else { FIRST_LOCK };
            let failed = match self.attempt(deadline, lock, &work).await {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            place = None;
            match failed {
                Failed::Over(error) => return Err(error),
                Failed::Lost(error) | Failed::Contention(error) if deadline.is_over() => return Err(error),
                Failed::Lost(error) if repeated => return Err(error),
                // The connection was suspect with all others of its age: the next one is a fresh one.
                Failed::Lost(_) => repeated = true,
                Failed::Contention(_) => {
                    sleep(AGAIN * Ord::min(attempts, LONGEST)).await;
                    place = in_time(timeout_at(until, self.waiting_for_locks.acquire()).await)?.ok();
                }
            }
        }
    }

    /// One transaction. `Ok` means that COMMIT returned.
    async fn attempt<T: Send + 'static>(
        &self,
        deadline: Deadline,
        lock: Duration,
        work: &impl Work<T>,
    ) -> std::result::Result<T, Failed> {
        let until = deadline.for_statements();
        let mut connection = self.pool.get(until).await.map_err(|error| Failed::Over(error.into()))?;
        let begun = connection.begin(&begin(deadline, lock), until, &self.steps).await;
        begun.map_err(|error| Failed::Lost(error.into()))?;

        let connection = Arc::new(Mutex::new(connection));
        let (backend, steps) = (DbBackend::Postgres, Arc::clone(&self.steps));
        let transaction = Transaction { connection: Arc::clone(&connection), backend, deadline, steps };
        let outcome = match work(&transaction).await {
            Ok(_) if deadline.is_over() => Err(ApiError::unavailable("the change took too long")),
            outcome => outcome,
        };

        let mut connection = connection.lock().await;
        match outcome {
            Ok(value) => match connection.commit(COMMIT, deadline.for_answer(), &self.steps).await {
                Ok(()) => {
                    self.health.writes_work();
                    Ok(value)
                }
                // The server answered, with a refusal: nothing is committed.
                Err(error) if connection.is_trusted() => Err(Failed::of(error.into())),
                Err(error) => Err(Failed::Over(ApiError::outcome_open(error))),
            },
            Err(error) if !connection.is_trusted() => Err(Failed::Lost(error)),
            Err(error) => {
                // A connection on which this fails is closed, which takes back its transaction too.
                let _closed = connection.rollback(deadline.for_answer()).await;
                Err(Failed::of(error))
            }
        }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

impl Failed {
    fn of(error: ApiError) -> Self {
        if error.is_contention() { Self::Contention(error) } else { Self::Over(error) }
    }
}

/// BEGIN, with what the transaction may wait for: in one message, and so that it holds through a pooler too.
fn begin(deadline: Deadline, lock: Duration) -> String {
    let left = deadline.left().as_millis().max(1);
    let lock = lock.as_millis().min(left);
    format!(
        "BEGIN; SET LOCAL statement_timeout = {left}; SET LOCAL lock_timeout = {lock}; \
         SET LOCAL idle_in_transaction_session_timeout = {left}"
    )
}

fn in_time<T>(outcome: std::result::Result<T, tokio::time::error::Elapsed>) -> Result<T> {
    outcome.map_err(|_| ApiError::contention("another change took too long"))
}
