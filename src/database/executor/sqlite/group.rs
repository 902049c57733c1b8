//! A group commit: one transaction for several units of work.
//!
//! What units of work leave to their ends is written together, and without a savepoint, for which SQLite would copy each page that is
//! changed. Where it fails all the same after it has begun, the group is spoilt: it is begun again, and each unit is run once more, in a
//! savepoint of its own.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use sea_orm::DbBackend;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use super::DISK_TIMEOUT;
use crate::{
    database::{
        at_end::AtEnd,
        deadline::Deadline,
        executor::unit_of_work::UnitOfWork,
        party::Party,
        pool::PooledConnection,
        read_cache::Writing,
        statements::Statements,
        steps::Steps,
        together::{Left, Together},
        transaction::{Transaction, UNDO},
    },
    error::{Error, Result},
};

/// Begins a transaction.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// An open transaction, and the units of work in it.
pub(super) struct Group {
    connection: Arc<Mutex<PooledConnection>>,
    statements: Arc<Statements>,
    steps: Arc<Steps>,
    /// What the units have of each other.
    together: Arc<Together>,
    /// Whether each unit is in a savepoint from its beginning, and written by itself.
    careful: bool,
}

impl Group {
    /// The connection is in a transaction that was begun by [`BEGIN`].
    pub(super) fn new(connection: PooledConnection, steps: Arc<Steps>, writing: Arc<Writing>) -> Self {
        let statements = Arc::clone(&connection.statements);
        let together = Arc::new(Together::new(writing, Arc::clone(&steps)));
        Self { connection: Arc::new(Mutex::new(connection)), statements, steps, together, careful: false }
    }

    /// Runs the unit of work with this number: all that it did is in the group, or nothing, or the group is spoilt, or it is left to be
    /// written. Whether one that returned is committed, the group decides.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        unit: usize,
        (party, deadline): (&Party, Deadline),
        work: &impl UnitOfWork<T>,
    ) -> Result<T> {
        if deadline.has_passed() {
            return Err(Error::unavailable("the change waited for too long"));
        }
        let (connection, steps) = (Arc::clone(&self.connection), Arc::clone(&self.steps));
        let (backend, at_end) = (DbBackend::Sqlite, AtEnd::new(&self.statements));
        let transaction =
            Transaction::new(connection, backend, deadline, steps, at_end).with(Arc::clone(&self.together));
        let outcome = AssertUnwindSafe(self.to_its_end(work, &transaction)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| Err(Error::internal("a change panicked")));
        if outcome.is_ok() {
            let (pieces, changed) = transaction.into_parts();
            if self.together.is_named(&pieces) {
                self.finish().await;
            }
            let note = self.together.writing.note(party, changed);
            self.together.leave(Left { unit, note, pieces, until: deadline.for_statements() });
        } else if transaction.has_savepoint() && !self.is_spoilt() {
            let mut connection = self.connection().await;
            if connection.is_trusted() {
                connection.execute_text(UNDO, Instant::now() + DISK_TIMEOUT).await?;
            }
        } else if transaction.has_written() {
            self.together.spoil();
        }
        outcome
    }

    async fn to_its_end<T>(&self, work: &impl UnitOfWork<T>, transaction: &Transaction) -> Result<T> {
        if self.careful {
            transaction.begin_savepoint().await?;
        }
        let value = work(transaction).await?;
        if self.careful || !transaction.leaves_all() {
            transaction.finish().await?;
        }
        Ok(value)
    }

    /// Writes what its units have left so far.
    pub(super) async fn finish(&self) {
        let mut connection = self.connection().await;
        // Where that fails, the group is spoilt or no longer sound.
        if let Err(error) = self.together.write(&mut connection).await {
            tracing::debug!(%error, "what changes have left together is not written");
        }
    }

    /// Whether its units are to be run again.
    pub(super) fn is_spoilt(&self) -> bool {
        self.together.is_spoilt()
    }

    /// Why a unit was refused after it had returned, if it was.
    pub(super) fn refusal(&self, unit: usize) -> Option<Error> {
        self.together.refusal(unit)
    }

    /// Undoes all, and begins again, with each unit in a savepoint. Where that fails, nothing can be committed.
    pub(super) async fn begin_again(&mut self) -> Result<()> {
        let mut connection = self.connection.lock().await;
        let until = Instant::now() + DISK_TIMEOUT;
        let begun = match connection.rollback(until).await {
            Ok(()) => connection.begin(BEGIN, until, &self.steps).await,
            Err(error) => Err(error),
        };
        if begun.is_err() {
            connection.hang_up();
        }
        drop(connection);
        begun?;
        self.together.begin_again();
        self.careful = true;
        Ok(())
    }

    /// It has ended, and was committed or not.
    pub(super) fn end(&self, is_committed: bool) {
        self.together.writing.end(is_committed);
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
