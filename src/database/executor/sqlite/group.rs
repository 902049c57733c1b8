//! A group commit: one transaction for several units of work, each in a savepoint.

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
        deadline::Deadline, executor::unit_of_work::UnitOfWork, pool::PooledConnection, steps::Steps,
        transaction::Transaction,
    },
    error::{Error, Result},
};

/// An open transaction, and the units of work in it.
pub(super) struct Group {
    connection: Arc<Mutex<PooledConnection>>,
    steps: Arc<Steps>,
}

impl Group {
    /// The connection is in a transaction.
    pub(super) fn new(connection: PooledConnection, steps: Arc<Steps>) -> Self {
        Self { connection: Arc::new(Mutex::new(connection)), steps }
    }

    /// Runs a unit of work in a savepoint of its own. Whether one that returned is committed, the group decides.
    pub(super) async fn run<T: Send + 'static>(&self, deadline: Deadline, work: &impl UnitOfWork<T>) -> Result<T> {
        if deadline.has_passed() {
            return Err(Error::unavailable("the change waited for too long"));
        }
        self.step("SAVEPOINT unit_of_work").await?;
        let connection = Arc::clone(&self.connection);
        let steps = Arc::clone(&self.steps);
        let transaction = Transaction { connection, backend: DbBackend::Sqlite, deadline, steps };
        let outcome = AssertUnwindSafe(work(&transaction)).catch_unwind().await;
        match outcome.unwrap_or_else(|_| Err(Error::internal("a change panicked"))) {
            Ok(value) => self.step("RELEASE unit_of_work").await.map(|()| value),
            Err(refused) => {
                let mut connection = self.connection().await;
                if connection.is_trusted() {
                    let sql = "ROLLBACK TO unit_of_work; RELEASE unit_of_work";
                    connection.execute_text(sql, Instant::now() + DISK_TIMEOUT).await?;
                }
                Err(refused)
            }
        }
    }

    /// Its connection, to commit it or roll it back.
    pub(super) async fn connection(&self) -> MutexGuard<'_, PooledConnection> {
        self.connection.lock().await
    }

    /// Whether it may still be committed.
    pub(super) async fn is_sound(&self) -> bool {
        self.connection().await.is_trusted()
    }

    async fn step(&self, sql: &str) -> Result<()> {
        Ok(self.connection().await.step(sql, Instant::now() + DISK_TIMEOUT, &self.steps).await?)
    }
}
