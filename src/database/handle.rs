//! [`Database`]: what the rest of the service holds.

use std::{path::Path, sync::Arc, time::Duration};

use sea_orm::{DbBackend, DbErr};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{
    connect::{Connector, SQLITE_READERS},
    deadline::{Deadline, REQUEST, timed_out},
    executor::{Executor, PostgresExecutor, Scope, SqliteExecutor, UnitOfWork},
    fault::db_error,
    file::DatabaseFile,
    health::Health,
    party::Party,
    pool::Pool,
    position::Recency,
    probe,
    read_cache::ReadCache,
    reader::{ReadSource, Reader, StandbyRead},
    standby::{self, Standby},
    statements::Statements,
    steps::Steps,
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
/// How long it may take to say how far the database is, where nothing depends on it.
const NOTE: Duration = Duration::from_secs(2);

/// The database of the service.
pub struct Database {
    pub(super) reads: ReadSource,
    pub(super) standby: Option<Arc<Standby>>,
    executor: Executor,
    pub(super) time_limit: Duration,
    pub(super) health: Arc<Health>,
    steps: Arc<Steps>,
    statements: Arc<Statements>,
    /// What looks after PostgreSQL.
    watches: Vec<JoinHandle<()>>,
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
        let cache = Arc::new(ReadCache::new(Arc::clone(&file), metrics.clone()));
        let connector = Connector::SqliteReader(Arc::clone(&file));
        let readers = Pool::new(connector, SQLITE_READERS, &statements, &metrics.readers)?;
        let executor = SqliteExecutor::start(
            [writer, readers.clone()],
            Arc::clone(&file),
            wal_guard,
            Arc::clone(&steps),
            Arc::clone(&health),
            Arc::clone(&cache),
            metrics.clone(),
        );
        let reads = ReadSource::sqlite(readers, file, cache, Arc::clone(&health));
        let executor = Executor::Sqlite(executor);
        Ok(Self { reads, standby: None, executor, time_limit, health, steps, statements, watches: Vec::new() })
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
        // One connection is the probe's.
        let reading = usize::from(config.reading_connections());
        let writing = usize::from(config.database_connections) - 1 - reading;
        let readers = Pool::new(connector(true)?, reading, &statements, &metrics.readers)?;
        let writers = Pool::new(connector(false)?, writing, &statements, &metrics.writers)?;
        drop(readers.get(&Party::Service, deadline.for_statements()).await?);
        let pools = [readers.clone(), writers.clone()];
        let mut watches = vec![tokio::spawn(probe::run(connector(false)?, pools, Arc::clone(&health)))];
        let standby = match &config.database_read_url {
            // Its sessions are its own: what holds for the primary's pooler does not hold for it.
            Some(DatabaseUrl::Postgres(url)) => {
                let connector = Connector::postgres(url, Pooler::None, time_limit, true).map_err(db_error)?;
                let pool = Pool::new(connector, reading, &statements, &metrics.standby_readers)?;
                Some(Standby::new(pool, metrics.standby.clone()))
            }
            Some(DatabaseUrl::Sqlite(_)) | None => None,
        };
        watches.extend(standby.iter().map(|standby| standby::watch(standby, readers.clone())));
        let executor = PostgresExecutor::new(
            (writers, writing),
            standby.clone(),
            Arc::clone(&steps),
            Arc::clone(&health),
            metrics.clone(),
        );
        let reads = ReadSource::postgres((readers, reading), pooler, Arc::clone(&health));
        let executor = Executor::Postgres(Arc::new(executor));
        Ok(Self { reads, standby, executor, time_limit, health, steps, statements, watches })
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

    /// The same for a tenant's request that must see the newest: however many tenants read, each has its turn.
    #[must_use]
    pub fn read_for(&self, tenant: &Tenant) -> Reader<'_> {
        self.reader(tenant.into())
    }

    /// The same for a tenant's request to which what is a moment old will do, unless it asks for more: a standby may answer it.
    #[must_use]
    pub fn read_recent(&self, tenant: &Tenant, recency: &Recency) -> Reader<'_> {
        let standby = self.standby.as_deref().map(|standby| StandbyRead::new(standby, recency));
        Reader { standby, ..self.reader(tenant.into()) }
    }

    fn reader(&self, party: Party) -> Reader<'_> {
        Reader { source: &self.reads, standby: None, party, deadline: Deadline::within(self.time_limit) }
    }

    /// Notes how far the database has come, for a caller who is told of what others have committed.
    pub async fn note_position(&self, tenant: &Tenant, recency: &Recency) {
        let Some(standby) = &self.standby else { return };
        let until = Deadline::within(NOTE).for_statements();
        if let Some(position) = standby.present(&self.reads.pool, &tenant.into(), until).await {
            recency.reach(position);
        }
    }

    /// How many connections for reading a tenant may hold at once.
    #[must_use]
    pub fn reads_of_a_tenant(&self) -> usize {
        self.reads.pool.share()
    }

    /// Runs the service's own `work` in a transaction: either it returned `Ok` and is committed and safe on disk, or nothing
    /// of it is. Goes on to its end even if the caller stops waiting, but not beyond its deadline. It may be run again from
    /// the start.
    ///
    /// # Errors
    /// What `work` returned, or a failure to commit.
    pub(crate) async fn transact<T: Send + 'static>(&self, work: impl UnitOfWork<T>) -> Result<T> {
        self.run((Party::Service, Recency::default()), None, work).await
    }

    /// The same for work of a tenant that changes this resource: it has its turn among those of other tenants, and waits for
    /// earlier work on the same resource. `recency` is told how far the database had come once it was committed.
    ///
    /// # Errors
    /// What `work` returned, or a failure to commit.
    pub(crate) async fn transact_for<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        resource: Uuid,
        recency: &Recency,
        work: impl UnitOfWork<T>,
    ) -> Result<T> {
        self.run((tenant.into(), recency.clone()), Some(resource), work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        (party, recency): (Party, Recency),
        resource: Option<Uuid>,
        work: impl UnitOfWork<T>,
    ) -> Result<T> {
        let scope = Scope { party, resource, deadline: Deadline::within(self.time_limit), recency };
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
        self.watches.iter().for_each(JoinHandle::abort);
        self.health.closed();
        let closing = async {
            let closed = self.executor.close().await;
            self.reads.pool.close().await;
            if let Some(standby) = &self.standby {
                standby.close().await;
            }
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
        self.watches.iter().for_each(JoinHandle::abort);
    }
}
