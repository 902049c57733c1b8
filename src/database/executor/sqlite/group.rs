//! A group commit: one transaction for several units of work, each in a savepoint.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, PoisonError},
};

use futures_util::FutureExt;
use sea_orm::{DbBackend, Statement};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use super::DISK_TIMEOUT;
use crate::{
    database::{
        at_end::AtEnd, deadline::Deadline, executor::unit_of_work::UnitOfWork, pool::PooledConnection,
        row_cache::ChangedRows, statements::Statements, steps::Steps, transaction::Transaction,
    },
    error::{Error, Result},
};

/// Begins a transaction, and in it the savepoint of the first unit of work.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE; SAVEPOINT unit_of_work";

/// Keeps what a unit of work did, and begins the savepoint of the next one.
const NEXT: &str = "RELEASE unit_of_work; SAVEPOINT unit_of_work";

/// An open transaction, and the units of work in it.
pub(super) struct Group {
    connection: Arc<Mutex<PooledConnection>>,
    statements: Arc<Statements>,
    steps: Arc<Steps>,
    /// What was changed by those that are kept.
    changed: std::sync::Mutex<Vec<ChangedRows>>,
}

impl Group {
    /// The connection is in a transaction that was begun by [`BEGIN`].
    pub(super) fn new(connection: PooledConnection, steps: Arc<Steps>) -> Self {
        let statements = Arc::clone(&connection.statements);
        Self { connection: Arc::new(Mutex::new(connection)), statements, steps, changed: std::sync::Mutex::default() }
    }

    /// Runs a unit of work in a savepoint of its own. Whether one that returned is committed, the group decides.
    pub(super) async fn run<T: Send + 'static>(&self, deadline: Deadline, work: &impl UnitOfWork<T>) -> Result<T> {
        if deadline.has_passed() {
            return Err(Error::unavailable("the change waited for too long"));
        }
        let (connection, steps) = (Arc::clone(&self.connection), Arc::clone(&self.steps));
        let (backend, at_end) = (DbBackend::Sqlite, AtEnd::new(&self.statements));
        let transaction = Transaction::new(connection, backend, deadline, steps, at_end);
        let outcome = AssertUnwindSafe(work(&transaction)).catch_unwind().await;
        let outcome = match outcome.unwrap_or_else(|_| Err(Error::internal("a change panicked"))) {
            Ok(value) => self.keep(transaction).await.map(|()| value),
            Err(refused) => Err(refused),
        };
        if outcome.is_err() {
            let mut connection = self.connection().await;
            if connection.is_trusted() {
                connection.execute_text("ROLLBACK TO unit_of_work", Instant::now() + DISK_TIMEOUT).await?;
            }
        }
        outcome
    }

    /// Runs what a unit of work left to its end, and has the next one begin behind it, in one turn with SQLite's thread.
    async fn keep(&self, transaction: Transaction) -> Result<()> {
        let mut statements = transaction.at_end.take(DbBackend::Sqlite);
        match statements.last_mut() {
            Some(last) => last.sql = format!("{}; {NEXT}", last.sql),
            None => statements.push(Statement::from_string(DbBackend::Sqlite, NEXT)),
        }
        for statement in statements {
            transaction.execute_at_end(&statement).await?;
        }
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).push(transaction.changed_rows());
        Ok(())
    }

    /// What was changed by the units of work in it.
    pub(super) fn changed(self) -> Vec<ChangedRows> {
        self.changed.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its connection, to commit it or roll it back.
    pub(super) async fn connection(&self) -> MutexGuard<'_, PooledConnection> {
        self.connection.lock().await
    }

    /// Whether it may still be committed.
    pub(super) async fn is_sound(&self) -> bool {
        self.connection().await.is_trusted()
    }
}
