//! [`Database`]: what the rest of the service holds.

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use sea_orm::{DbBackend, DbErr};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{
    at_end::AtEnd,
    connect::{Connector, SQLITE_READERS},
    deadline::{Deadline, REQUEST, timed_out},
    executor::{Executor, PostgresExecutor, Scope, SqliteExecutor, UnitOfWork},
    fault::db_error,
    file::{DatabaseFile, not_in_place},
    health::Health,
    party::Party,
    pool::Pool,
    probe,
    reader::{ReadSource, Reader},
    span::database_span,
    statements::Statements,
    steps::Steps,
    template::Templates,
    transaction::Transaction,
    wal_guard::WalGuard,
};
use crate::{
    config::{Config, DatabaseUrl, Pooler, Secret},
    error::{ErrorKind, Result},
    telemetry::database_metrics::DatabaseMetrics,
    values::Tenant,
};

/// How long a database that does not answer may keep the service from ending.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The database of the service.
pub struct Database {
    reads: ReadSource,
    executor: Executor,
    time_limit: Duration,
    health: Arc<Health>,
    steps: Arc<Steps>,
    statements: Arc<Statements>,
    probe: Option<JoinHandle<()>>,
}

impl Database {
    /// Connects. The schema must be up to date: see [`super::migrate`]. `time_limit` holds for each read and each change.
    ///
    /// # Errors
    /// A database that cannot be reached or opened.
    pub async fn open(
        config: &Config,
        time_limit: Duration,
        metrics: &DatabaseMetrics,
    ) -> std::result::Result<Self, DbErr> {
        match &config.database_url {
            DatabaseUrl::Sqlite(path) => Self::open_sqlite(path, time_limit, metrics).await,
            DatabaseUrl::Postgres(url) => Self::open_postgres(config, url, time_limit, metrics).await,
        }
    }

    async fn open_sqlite(
        path: &Path,
        time_limit: Duration,
        metrics: &DatabaseMetrics,
    ) -> std::result::Result<Self, DbErr> {
        let (health, steps) = (Arc::<Health>::default(), Arc::<Steps>::default());
        let statements = Arc::default();
        let deadline = Deadline::within(time_limit.min(REQUEST));
        let file = Arc::new(DatabaseFile::at(path).map_err(db_error)?);
        let writer = Pool::new(Connector::SqliteWriter(Arc::clone(&file)), 1, &statements, &metrics.writers)?;
        drop(writer.get(&Party::Service, deadline.for_statements()).await?);
        let mut wal_guard = WalGuard::new(Arc::clone(&file));
        wal_guard.open().await?;
        let connector = Connector::SqliteReader(Arc::clone(&file));
        let readers = Pool::new(connector, SQLITE_READERS, &statements, &metrics.readers)?;
        let executor = SqliteExecutor::start(
            writer,
            readers.clone(),
            Arc::clone(&file),
            wal_guard,
            Arc::clone(&steps),
            Arc::clone(&health),
            metrics.clone(),
        );
        let reads = ReadSource {
            pool: readers,
            backend: DbBackend::Sqlite,
            pooler: Pooler::None,
            file: Some(file),
            health: Arc::clone(&health),
            templates: Templates::default(),
        };
        Ok(Self { reads, executor: Executor::Sqlite(executor), time_limit, health, steps, statements, probe: None })
    }

    async fn open_postgres(
        config: &Config,
        url: &Secret,
        time_limit: Duration,
        metrics: &DatabaseMetrics,
    ) -> std::result::Result<Self, DbErr> {
        let (health, steps) = (Arc::<Health>::default(), Arc::<Steps>::default());
        let statements = Arc::default();
        let deadline = Deadline::within(time_limit.min(REQUEST));
        let pooler = config.database_pooler;
        let connector = |read_only| Connector::postgres(url, pooler, time_limit, read_only).map_err(db_error);
        // One connection is the probe's, a third of the others reads.
        let connections = usize::from(config.database_connections) - 1;
        let reading = (connections / 3).max(1);
        let writing = connections - reading;
        let readers = Pool::new(connector(true)?, reading, &statements, &metrics.readers)?;
        let writers = Pool::new(connector(false)?, writing, &statements, &metrics.writers)?;
        drop(readers.get(&Party::Service, deadline.for_statements()).await?);
        let pools = [readers.clone(), writers.clone()];
        let probe = tokio::spawn(probe::run(connector(false)?, pools, Arc::clone(&health)));
        let executor =
            PostgresExecutor::new(writers, writing, Arc::clone(&steps), Arc::clone(&health), metrics.clone());
        let reads = ReadSource {
            pool: readers,
            backend: DbBackend::Postgres,
            pooler,
            file: None,
            health: Arc::clone(&health),
            templates: Templates::default(),
        };
        let executor = Executor::Postgres(Arc::new(executor));
        Ok(Self { reads, executor, time_limit, health, steps, statements, probe: Some(probe) })
    }

    /// Which database it is.
    #[must_use]
    pub fn backend(&self) -> DbBackend {
        self.reads.backend
    }

    /// What is known of the database.
    #[must_use]
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// The steps of its transactions, for tests to make them fail.
    #[must_use]
    pub fn steps(&self) -> &Steps {
        &self.steps
    }

    /// The statements that it runs, for tests to observe them.
    #[must_use]
    pub fn statements(&self) -> &Statements {
        &self.statements
    }

    /// Reads for the service itself, from now on until the time limit: never sees half a change, and cannot write.
    #[must_use]
    pub fn read(&self) -> Reader<'_> {
        self.reader(Party::Service)
    }

    /// The same for a tenant's request: however many tenants read, each has its turn.
    #[must_use]
    pub fn read_for(&self, tenant: &Tenant) -> Reader<'_> {
        self.reader(tenant.into())
    }

    fn reader(&self, party: Party) -> Reader<'_> {
        Reader { source: &self.reads, party, deadline: Deadline::within(self.time_limit) }
    }

    /// A read-only transaction for the service itself, that sees the database as it was at one instant.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn snapshot(&self) -> Result<Transaction> {
        self.snapshot_of(&Party::Service, self.time_limit).await
    }

    /// The same for a tenant, which may read from it for this long. It holds one of the tenant's connections for reading until
    /// it is dropped.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn snapshot_for(&self, tenant: &Tenant, time: Duration) -> Result<Transaction> {
        self.snapshot_of(&tenant.into(), time).await
    }

    /// Reads what belongs together for a tenant's request: all that `read` reads is of one instant. It is called once more where
    /// the connection turns out to be lost.
    ///
    /// # Errors
    /// What `read` returned, or a fault of the database.
    pub async fn at_one_instant<T, F>(&self, tenant: &Tenant, read: F) -> Result<T>
    where
        F: for<'t> Fn(&'t Transaction, &'t Tenant) -> BoxFuture<'t, Result<T>> + Send + Sync,
    {
        let deadline = Deadline::within(self.time_limit);
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
        let snapshot = self.snapshot_of(&tenant.into(), deadline.remaining()).await?;
        let outcome = read(&snapshot, tenant).await;
        snapshot.end().await;
        outcome
    }

    /// How many connections for reading a tenant may hold at once.
    #[must_use]
    pub fn reads_of_a_tenant(&self) -> usize {
        self.reads.pool.share()
    }

    async fn snapshot_of(&self, party: &Party, time: Duration) -> Result<Transaction> {
        let until = Deadline::within(self.time_limit).for_statements();
        let backend = self.backend();
        if self.reads.file.as_ref().is_some_and(|file| !file.is_in_place()) {
            return Err(db_error(not_in_place()).into());
        }
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
        let mut connection = self.reads.pool.get(party, until).await?;
        connection.begin(&begin, until, &Steps::default()).await?;
        let deadline = Deadline::within(time);
        let at_end = AtEnd::new(&self.statements);
        let connection = Arc::new(tokio::sync::Mutex::new(connection));
        Ok(Transaction { connection, backend, deadline, steps: Arc::default(), at_end })
    }

    /// Runs the service's own `work` in a transaction: either it returned `Ok` and is committed and safe on disk, or nothing
    /// of it is. Goes on to its end even if the caller stops waiting, but not beyond its deadline. It may be run again from
    /// the start.
    ///
    /// # Errors
    /// What `work` returned, or a failure to commit.
    pub(crate) async fn transact<T: Send + 'static>(&self, work: impl UnitOfWork<T>) -> Result<T> {
        self.run(Party::Service, None, work).await
    }

    /// The same for work of a tenant that changes this resource: it has its turn among those of other tenants, and waits for
    /// earlier work on the same resource.
    ///
    /// # Errors
    /// What `work` returned, or a failure to commit.
    pub(crate) async fn transact_for<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        resource: Uuid,
        work: impl UnitOfWork<T>,
    ) -> Result<T> {
        self.run(tenant.into(), Some(resource), work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        party: Party,
        resource: Option<Uuid>,
        work: impl UnitOfWork<T>,
    ) -> Result<T> {
        let scope = Scope { party, resource, deadline: Deadline::within(self.time_limit) };
        self.reported(self.executor.transact(scope, work).await)
    }

    /// Moves the whole write-ahead log of SQLite into the database file, so that nothing of what was erased is left in it;
    /// `false` where readers are in the way. On PostgreSQL there is nothing to do here.
    ///
    /// # Errors
    /// Unavailable, if the service stops.
    pub async fn empty_log(&self) -> Result<bool> {
        self.executor.empty_log(Deadline::within(self.time_limit)).await
    }

    fn reported<T>(&self, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome
            && error.kind() == ErrorKind::Unavailable
        {
            self.health.change_failed(error.is_contention());
        }
        outcome
    }

    /// Finishes the waiting changes and closes all connections.
    ///
    /// # Errors
    /// A fault while closing.
    pub async fn close(&self) -> std::result::Result<(), DbErr> {
        if let Some(probe) = &self.probe {
            probe.abort();
        }
        self.health.closed();
        let closing = async {
            let closed = self.executor.close().await;
            self.reads.pool.close().await;
            closed
        };
        match tokio::time::timeout(CLOSE_TIMEOUT, closing).await {
            Ok(closed) => closed,
            Err(_) => Err(db_error(timed_out())),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(probe) = &self.probe {
            probe.abort();
        }
    }
}
