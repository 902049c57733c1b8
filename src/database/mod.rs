//! The one database: SQLite in this process or PostgreSQL, behind the same two doors.
//!
//! Reads take [`Database::read`]. Every write goes through [`Database::transact`]: [`executor`] shows why an accepted write
//! is on disk.
//!
//! | file | what |
//! |---|---|
//! | [`executor`] | how a piece of work becomes a committed transaction |
//! | [`transaction`], [`reader`] | what statements run through |
//! | [`connection`], [`pool`], [`connect`] | one connection and whether it is trusted · those that are kept · how they are opened |
//! | [`deadline`], [`fault`], [`steps`] | until when · what an error means · what tests let fail |
//! | [`health`], [`probe`], [`file`](mod@file), [`keeper`] | what is known without asking · who finds out · whether the SQLite file is in place, and its log |
//! | [`migrate`], [`tenancy`], [`read`] | the schema · how a query stays within its tenant · how a row and a page are read |

mod connect;
mod connection;
mod deadline;
mod executor;
mod fault;
mod file;
mod health;
mod keeper;
pub mod migrate;
mod pool;
mod probe;
pub mod reach;
pub mod read;
mod reader;
mod steps;
pub mod tenancy;
mod transaction;
mod wait;

use std::{sync::Arc, time::Duration};

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use tokio::task::JoinHandle;
use uuid::Uuid;

use connect::{SQLITE_READERS, Target};
use executor::{Executor, PostgresExecutor, SqliteExecutor, Work};
use fault::failed;
use file::DatabaseFile;
use keeper::Keeper;
use pool::Pool;

pub use deadline::Deadline;
pub use health::{Cause, Health};
pub use reader::Reader;
pub use steps::{Failure, Steps};
pub use transaction::Transaction;

use crate::{
    config::{Config, DatabaseUrl, Pooler},
    error::{ErrorCode, Result},
};

/// How long a request may wait for the database: answered within ten seconds, with room for what happens on
/// the way.
pub const REQUEST: Duration = Duration::from_secs(9);
/// How long a command may, which goes through everything that is stored.
pub const COMMAND: Duration = Duration::from_secs(3600);

/// How long a database that does not answer may keep the service from ending.
const CLOSING: Duration = Duration::from_secs(10);

/// The database of the service.
pub struct Database {
    readers: Pool,
    executor: Executor,
    pooler: Pooler,
    patience: Duration,
    health: Arc<Health>,
    steps: Arc<Steps>,
    file: Option<Arc<DatabaseFile>>,
    probe: Option<JoinHandle<()>>,
}

impl Database {
    /// Connects. The schema must be up to date: see [`migrate`]. Each read and each change has `patience`.
    ///
    /// # Errors
    /// A database that cannot be reached or opened.
    pub async fn open(config: &Config, patience: Duration) -> std::result::Result<Self, DbErr> {
        let (health, steps) = (Arc::<Health>::default(), Arc::<Steps>::default());
        let deadline = Deadline::within(Duration::min(patience, REQUEST));
        match &config.database_url {
            DatabaseUrl::Sqlite(path) => {
                let file = Arc::new(DatabaseFile::of(path).map_err(failed)?);
                let writer = Pool::new(Target::SqliteWriter(Arc::clone(&file)), 1)?;
                drop(writer.get(deadline.for_statements()).await?);
                let mut keeper = Keeper::of(Arc::clone(&file));
                keeper.open().await?;
                let readers = Pool::new(Target::SqliteReader(Arc::clone(&file)), SQLITE_READERS)?;
                let kept = (Arc::clone(&file), keeper);
                let executor =
                    SqliteExecutor::start(writer, readers.clone(), kept, Arc::clone(&steps), Arc::clone(&health));
                Ok(Self {
                    readers,
                    executor: Executor::Sqlite(executor),
                    pooler: Pooler::None,
                    patience,
                    health,
                    steps,
                    file: Some(file),
                    probe: None,
                })
            }
            DatabaseUrl::Postgres(url) => {
                let pooler = config.database_pooler;
                let target = |read_only| Target::postgres(url, pooler, patience, read_only).map_err(failed);
                // One connection is the probe's, a third of the others reads.
                let connections = usize::from(config.database_connections) - 1;
                let readers = (connections / 3).max(1);
                let writers = connections - readers;
                let (readers, writing) = (Pool::new(target(true)?, readers)?, Pool::new(target(false)?, writers)?);
                drop(readers.get(deadline.for_statements()).await?);
                let pools = [readers.clone(), writing.clone()];
                let probe = tokio::spawn(probe::run(target(false)?, pools, Arc::clone(&health)));
                let executor = PostgresExecutor::new(writing, writers, Arc::clone(&steps), Arc::clone(&health));
                Ok(Self {
                    readers,
                    executor: Executor::Postgres(Arc::new(executor)),
                    pooler,
                    patience,
                    health,
                    steps,
                    file: None,
                    probe: Some(probe),
                })
            }
        }
    }

    /// Which database it is.
    #[must_use]
    pub fn backend(&self) -> DbBackend {
        match self.executor {
            Executor::Sqlite(_) => DbBackend::Sqlite,
            Executor::Postgres(_) => DbBackend::Postgres,
        }
    }

    /// What is known of the database.
    #[must_use]
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// The steps of its transactions, to let them fail in a test.
    #[must_use]
    pub fn steps(&self) -> &Steps {
        &self.steps
    }

    /// Where to read, from now on for as long as a request may take: never sees half a change, and cannot write.
    #[must_use]
    pub fn read(&self) -> Reader<'_> {
        Reader { database: self, deadline: Deadline::within(self.patience) }
    }

    /// A transaction that sees one instant, and only reads.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn snapshot(&self) -> Result<Transaction> {
        let deadline = Deadline::within(self.patience);
        let backend = self.backend();
        let begin = match backend {
            DbBackend::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            // On SQLite every transaction sees one instant.
            _ => "BEGIN",
        };
        let mut connection = self.readers.get(deadline.for_statements()).await?;
        connection.begin(begin, deadline.for_statements(), &Steps::default()).await?;
        let connection = Arc::new(tokio::sync::Mutex::new(connection));
        Ok(Transaction { connection, backend, deadline, steps: Arc::default() })
    }

    /// Runs `work` in a transaction: either it returned `Ok` and is committed and safe on disk, or nothing of it is.
    /// Goes on to its end even if the caller stops waiting, but not beyond its deadline. It may be run again from the start.
    ///
    /// # Errors
    /// What `work` returned, or a failure to commit.
    pub(crate) async fn transact<T: Send + 'static>(&self, work: impl Work<T>) -> Result<T> {
        self.reported(self.executor.transact(None, Deadline::within(self.patience), work).await)
    }

    /// The same for work that changes this resource: it waits for the work on it that came before.
    ///
    /// # Errors
    /// What `work` returned, or a failure to commit.
    pub(crate) async fn transact_on<T: Send + 'static>(&self, resource: Uuid, work: impl Work<T>) -> Result<T> {
        self.reported(self.executor.transact(Some(resource), Deadline::within(self.patience), work).await)
    }

    fn reported<T>(&self, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome
            && error.code() == ErrorCode::ServiceUnavailable
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
            self.readers.close().await;
            closed
        };
        match tokio::time::timeout(CLOSING, closing).await {
            Ok(closed) => closed,
            Err(_) => Err(failed(deadline::no_answer())),
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

/// Removes from the database's files what changed and deleted rows left behind. Others may go on reading; on SQLite,
/// writers wait.
///
/// # Errors
/// A fault of the database.
pub async fn clean(url: &DatabaseUrl) -> std::result::Result<(), DbErr> {
    let connection = match url {
        DatabaseUrl::Sqlite(file) => connect::sqlite_session(file).await?,
        DatabaseUrl::Postgres(url) => connect::postgres_session(url).await?,
    };
    connection.execute_unprepared("VACUUM").await?;
    if let DatabaseUrl::Sqlite(_) = url {
        connection.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await?;
    }
    connection.close().await
}
