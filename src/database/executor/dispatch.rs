//! Passes a unit of work to the executor of the database in use, and waits for the outcome.

use std::sync::Arc;

use sea_orm::DbErr;
use tokio::{sync::oneshot, time::timeout_at};

use super::{
    postgres::PostgresExecutor,
    sqlite::SqliteExecutor,
    unit_of_work::{Scope, UnitOfWork},
};
use crate::{
    database::deadline::Deadline,
    error::{Error, Result},
    telemetry::span::Parent,
};

/// What commits changes.
pub(in crate::database) enum Executor {
    /// One writer, which commits what waits together.
    Sqlite(SqliteExecutor),
    /// Several connections, each of which commits what waits together, or a unit of work that needs a transaction of its own.
    Postgres(Arc<PostgresExecutor>),
}

impl Executor {
    /// Runs a unit of work in a transaction: either it returned `Ok` and is committed, or nothing of it is. Work on the
    /// same resource is done in the order in which it comes.
    pub(in crate::database) async fn transact<T: Send + 'static>(
        &self,
        scope: Scope,
        work: impl UnitOfWork<T>,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let answer = scope.deadline.for_answer();
        match self {
            Self::Sqlite(executor) => executor.enqueue(&scope, work, sender)?,
            Self::Postgres(executor) => {
                let executor = Arc::clone(executor);
                // A task of its own: a client that hangs up leaves all of it or nothing, and blocks nobody.
                tokio::spawn(Parent::current().around(async move {
                    let outcome = executor.transact(scope, work).await;
                    // Where nobody waits any more, the change stands all the same.
                    let _gone = sender.send(outcome);
                }));
            }
        }
        match timeout_at(answer, receiver).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Error::internal("a change panicked")),
            Err(_) => Err(Error::outcome_unknown("the change was not answered in time")),
        }
    }

    /// Moves the whole write-ahead log of SQLite into the database file; `false` where that is not possible now. PostgreSQL
    /// has a log of its own, which is the operator's.
    pub(in crate::database) async fn empty_log(&self, deadline: Deadline) -> Result<bool> {
        match self {
            Self::Sqlite(executor) => {
                timeout_at(deadline.for_answer(), executor.empty_log()).await.unwrap_or(Ok(false))
            }
            Self::Postgres(_) => Ok(true),
        }
    }

    /// Finishes what waits; accepts nothing more.
    pub(in crate::database) async fn close(&self) -> std::result::Result<(), DbErr> {
        match self {
            Self::Sqlite(executor) => executor.close().await,
            Self::Postgres(executor) => {
                executor.close().await;
                Ok(())
            }
        }
    }
}
