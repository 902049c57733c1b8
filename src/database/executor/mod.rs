//! The write executor: how a piece of work becomes a committed transaction. Every accepted write of the service passes here.
//!
//! **A 2xx of a write means that COMMIT returned.** Why:
//!
//! 1. A piece of work is answered `Ok` in one place for each database: [`sqlite`] and [`postgres`], behind the `Ok`
//!    of `Connection::commit`. Nothing else makes an `Ok` of it.
//! 2. What the database says is what holds: no count of open transactions decides, ours or the driver's. SQLite's
//!    `BEGIN IMMEDIATE` fails where one is open, and its `COMMIT` where none is. To PostgreSQL's `COMMIT`, which in a
//!    transaction that failed is a `ROLLBACK` that succeeds, belongs a statement that such a transaction refuses. A
//!    connection in the middle of a transaction is never used for another one.
//! 3. After any fault of any step no further statement runs on the connection ([`super::connection`]): it is closed, and a
//!    new one opened. So a transaction that the database ended by itself cannot be taken for an open one.
//! 4. Both databases commit durably: SQLite with `synchronous=FULL`, PostgreSQL with `synchronous_commit`, without which the
//!    service does not start.
//!
//! **Every wait has an end.** A piece of work has a [`Deadline`]: connections, locks, statements and repetitions share it.
//! Where it strikes before COMMIT was sent, nothing is changed; where it strikes during COMMIT, the outcome is open, and the
//! error says so.

mod postgres;
mod sqlite;
mod turns;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sea_orm::DbErr;
use tokio::{sync::oneshot, time::timeout_at};
use uuid::Uuid;

use super::{deadline::Deadline, transaction::Transaction};
use crate::error::{ApiError, Result};

pub(super) use postgres::PostgresExecutor;
pub(super) use sqlite::SqliteExecutor;

/// A piece of work in a transaction. It may be run more than once, so it must not have other effects.
pub trait Work<T>: for<'t> Fn(&'t Transaction) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static {}

impl<T, W> Work<T> for W where W: for<'t> Fn(&'t Transaction) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static {}

/// What commits changes.
pub(super) enum Executor {
    /// One writer, which commits what waits together.
    Sqlite(SqliteExecutor),
    /// A transaction for each piece of work, on one of several connections.
    Postgres(Arc<PostgresExecutor>),
}

impl Executor {
    /// Runs a piece of work in a transaction: either it returned `Ok` and is committed, or nothing of it is. Work on the
    /// same resource is done in the order in which it comes.
    pub(super) async fn transact<T: Send + 'static>(
        &self,
        resource: Option<Uuid>,
        deadline: Deadline,
        work: impl Work<T>,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        match self {
            Self::Sqlite(executor) => executor.enqueue(deadline, work, answer)?,
            Self::Postgres(executor) => {
                let executor = Arc::clone(executor);
                // A task of its own: a client that hangs up leaves all of it or nothing, and blocks nobody.
                tokio::spawn(async move {
                    let outcome = executor.transact(resource, deadline, work).await;
                    // Where nobody waits any more the change stands all the same.
                    let _gone = answer.send(outcome);
                });
            }
        }
        match timeout_at(deadline.for_answer(), answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ApiError::internal("a change panicked")),
            Err(_) => Err(ApiError::outcome_open("the change was not answered in time")),
        }
    }

    /// Finishes what waits; takes nothing more.
    pub(super) async fn close(&self) -> std::result::Result<(), DbErr> {
        match self {
            Self::Sqlite(executor) => executor.close().await,
            Self::Postgres(executor) => {
                executor.close().await;
                Ok(())
            }
        }
    }
}
