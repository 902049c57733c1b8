//! Reading what belongs together: transactions that only read, and see one instant.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use sea_orm::{DbBackend, DbErr};
use tokio::time::Instant;

use super::{
    at_end::AtEnd, deadline::Deadline, fault::db_error, file::not_in_place, handle::Database, party::Party,
    pool::PooledConnection, position::Recency, reader::for_the_standby, span::database_span, steps::Steps,
    transaction::Transaction,
};
use crate::{
    error::{ErrorKind, Result},
    values::Tenant,
};

impl Database {
    /// A read-only transaction for the service itself, that sees the database as it was at one instant.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn snapshot(&self) -> Result<Transaction> {
        self.primary_snapshot(&Party::Service, self.time_limit).await
    }

    /// The same for a tenant, which may read from it for this long. It holds one of the tenant's connections for reading until
    /// it is dropped.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn snapshot_for(&self, tenant: &Tenant, time: Duration) -> Result<Transaction> {
        self.primary_snapshot(&tenant.into(), time).await
    }

    /// Reads what belongs together for a tenant's request: all that `read` reads is of one instant, which may be a moment ago unless
    /// the request asks for more. It is called once more where the connection turns out to be lost, or the standby fails.
    ///
    /// # Errors
    /// What `read` returned, or a fault of the database.
    pub async fn at_one_instant<T, F>(&self, tenant: &Tenant, recency: &Recency, read: F) -> Result<T>
    where
        F: for<'t> Fn(&'t Transaction, &'t Tenant) -> BoxFuture<'t, Result<T>> + Send + Sync,
    {
        let deadline = Deadline::within(self.time_limit);
        if let Some(outcome) = self.at_one_instant_of_the_standby(tenant, recency, deadline, &read).await {
            return outcome;
        }
        let outcome = match self.read_snapshot(tenant, deadline, &read).await {
            Err(error) if error.kind() == ErrorKind::Unavailable && !deadline.has_passed() => {
                self.read_snapshot(tenant, deadline, &read).await
            }
            outcome => outcome,
        };
        if outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable) {
            self.health.suspect_reads();
        }
        outcome
    }

    async fn read_snapshot<T, F>(&self, tenant: &Tenant, deadline: Deadline, read: &F) -> Result<T>
    where
        F: for<'t> Fn(&'t Transaction, &'t Tenant) -> BoxFuture<'t, Result<T>> + Send + Sync,
    {
        let _span = database_span("read", self.backend());
        let snapshot = self.primary_snapshot(&tenant.into(), deadline.remaining()).await?;
        let outcome = read(&snapshot, tenant).await;
        snapshot.end().await;
        outcome
    }

    /// The same on a standby; `None` where the primary is to be read.
    async fn at_one_instant_of_the_standby<T, F>(
        &self,
        tenant: &Tenant,
        recency: &Recency,
        deadline: Deadline,
        read: &F,
    ) -> Option<Result<T>>
    where
        F: for<'t> Fn(&'t Transaction, &'t Tenant) -> BoxFuture<'t, Result<T>> + Send + Sync,
    {
        let (standby, until) = (self.standby.as_ref()?, for_the_standby(deadline));
        let connection = standby.connection(&tenant.into(), recency, until).await?;
        let _span = database_span("read", self.backend());
        let time = until.saturating_duration_since(Instant::now());
        let snapshot = match self.snapshot_on(connection, time, until).await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                standby.fell_through(&error);
                return None;
            }
        };
        let outcome = read(&snapshot, tenant).await;
        snapshot.end().await;
        match outcome {
            Err(error) if error.is_fault() || error.is_contention() => {
                standby.gave_up();
                None
            }
            outcome => Some(outcome),
        }
    }

    async fn primary_snapshot(&self, party: &Party, time: Duration) -> Result<Transaction> {
        let until = Deadline::within(self.time_limit).for_statements();
        if self.reads.file.as_ref().is_some_and(|file| !file.is_in_place()) {
            return Err(db_error(not_in_place()).into());
        }
        let connection = self.reads.pool.get(party, until).await?;
        Ok(self.snapshot_on(connection, time, until).await?)
    }

    async fn snapshot_on(
        &self,
        mut connection: PooledConnection,
        time: Duration,
        until: Instant,
    ) -> std::result::Result<Transaction, DbErr> {
        let backend = self.backend();
        let begin = match backend {
            // Whoever reads from it may pause for longer than a request takes.
            DbBackend::Postgres => format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL max_parallel_workers_per_gather = 0; \
                 SET LOCAL idle_in_transaction_session_timeout = {}",
                time.as_millis()
            ),
            // On SQLite every transaction sees one instant.
            _ => "BEGIN".to_owned(),
        };
        connection.begin(&begin, until, &Steps::default()).await?;
        let deadline = Deadline::within(time);
        let at_end = AtEnd::new(&connection.statements);
        let connection = Arc::new(tokio::sync::Mutex::new(connection));
        Ok(Transaction::new(connection, backend, deadline, Arc::default(), at_end).only_reads())
    }
}
