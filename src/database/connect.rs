//! How connections are opened, and what is set on each.

use std::{io, path::Path, sync::Arc, time::Duration};

use sea_orm::{
    ConnectOptions, DatabaseConnection, DbErr,
    sqlx::{
        self, ConnectOptions as _,
        postgres::PgConnectOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};
use tokio::time::Instant;

use super::{connection::Connection, deadline::REQUEST, file::DatabaseFile};
use crate::config::{DatabaseUrl, Pooler, Secret};

/// How long a statement waits for another process's lock on the SQLite file before it is refused; the writer tries again.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_millis(250);
/// Readers of the SQLite file.
pub(super) const SQLITE_READERS: usize = 4;
/// How much of the file the connection that writes keeps in memory, and how much each reader: so many KiB, as SQLite takes it. Pages
/// that are not there come from the system's cache, by a call for each.
const WRITER_CACHE: &str = "-16384";
const READER_CACHE: &str = "-8192";
/// All connections to it: with the writer, the one that keeps the write-ahead log, and the one that checks reading.
const SQLITE_CONNECTIONS: usize = SQLITE_READERS + 3;
/// How long a migration waits for that lock.
const MIGRATION_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connecting to a server that is just starting is tried again.
const STARTUP_LIMIT: Duration = Duration::from_secs(2);
/// How long to wait in between.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// How PostgreSQL plans what requests ask. A query keeps one core of the server busy, and not several: those are for others. Every
/// statement has an index; that the first row wanted will soon be met in a table of a million is not to be hoped for. An index is
/// read in its order, as far as a statement goes: with the default costs, which are those of a rotating disk, all that it finds
/// would be collected first.
const PLANNING: [&str; 4] =
    ["max_parallel_workers_per_gather = 0", "enable_seqscan = off", "jit = off", "random_page_cost = 1.1"];

/// The statements that set this, for a session (`SET`) or for a transaction (`SET LOCAL`).
#[must_use]
pub fn planning(set: &str) -> String {
    PLANNING.map(|setting| format!("{set} {setting}")).join("; ")
}

/// Opens connections to one database for one purpose.
#[derive(Debug, Clone)]
pub(super) enum Connector {
    /// To write the SQLite file: durable by an fsync at each commit.
    SqliteWriter(Arc<DatabaseFile>),
    /// To read the SQLite file: in WAL mode readers neither wait for the writer nor delay it.
    SqliteReader(Arc<DatabaseFile>),
    /// To a PostgreSQL server, with the settings of each session.
    Postgres { options: Box<PgConnectOptions>, session: String, named_statements: bool, read_only: bool },
}

impl Connector {
    /// Reads or writes PostgreSQL. The server refuses writes on a reading session, so that here too nothing is changed
    /// outside the write executor. After `time_limit` it cancels what nobody waits for any more, and within as long it
    /// notices that this process is gone.
    pub(super) fn postgres(
        url: &Secret,
        pooler: Pooler,
        time_limit: Duration,
        read_only: bool,
    ) -> Result<Self, sqlx::Error> {
        let mut options: PgConnectOptions = url.reveal().parse()?;
        // Statements carry personal data. No column is a float, and PgBouncer refuses the setting.
        options = options.disable_statement_logging().extra_float_digits(None);
        if pooler == Pooler::Transaction {
            options = options.statement_cache_capacity(0);
        }
        let (millis, seconds) = (time_limit.as_millis(), time_limit.as_secs());
        let mut session = String::new();
        if !pooler.shares_sessions() {
            session = format!(
                "SET statement_timeout = {millis}; SET idle_in_transaction_session_timeout = {millis}; \
                 SET tcp_user_timeout = {millis}; SET tcp_keepalives_idle = {seconds}; \
                 SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3"
            );
            // Commands go through all there is.
            if time_limit <= REQUEST {
                session.push_str("; ");
                session.push_str(&planning("SET"));
            }
            if read_only {
                session.push_str("; SET default_transaction_read_only = on");
            }
        }
        // The driver names statements even without a cache.
        let (options, named_statements) = (Box::new(options), pooler != Pooler::Transaction);
        Ok(Self::Postgres { options, session, named_statements, read_only })
    }

    /// Whether there is a network in between, or a server that may be restarted.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Self::Postgres { .. })
    }

    /// Whether what is read by it keeps a server busy.
    pub(super) fn reads_remotely(&self) -> bool {
        matches!(self, Self::Postgres { read_only: true, .. })
    }

    /// Opens a connection. Waits for a moment where the server is just starting.
    pub(super) async fn connect(&self) -> Result<Connection, sqlx::Error> {
        match self {
            Self::SqliteWriter(file) => {
                let options = sqlite_writer(file.path(), BUSY_TIMEOUT).create_if_missing(false);
                // What a savepoint would bring back is kept in memory: units of work are small.
                let options = options.pragma("temp_store", "MEMORY").pragma("cache_size", WRITER_CACHE);
                sqlite(file, options, false).await
            }
            Self::SqliteReader(file) => sqlite(file, sqlite_reader(file.path()), true).await,
            Self::Postgres { options, session, named_statements, .. } => {
                let until = Instant::now() + STARTUP_LIMIT;
                let mut connection = loop {
                    match options.connect().await {
                        Ok(connection) => break Connection::postgres(connection, *named_statements),
                        Err(error) if is_starting(&error) && Instant::now() < until => {
                            tokio::time::sleep(RETRY_INTERVAL).await
                        }
                        Err(error) => return Err(error),
                    }
                };
                if !session.is_empty() {
                    connection.set_up(session, until + STARTUP_LIMIT).await?;
                }
                Ok(connection)
            }
        }
    }
}

/// Whether the server may accept connections in a moment: PostgreSQL while it starts, or has too many of them.
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => matches!(error.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}

async fn sqlite(file: &DatabaseFile, options: SqliteConnectOptions, paced: bool) -> Result<Connection, sqlx::Error> {
    file.ensure_in_place()?;
    let open = file.count_connection(SQLITE_CONNECTIONS)?;
    let connection = options.connect().await?;
    // It may have been replaced in between.
    file.ensure_in_place()?;
    Connection::sqlite(connection, open, paced).await
}

fn sqlite_writer(file: &Path, busy_timeout: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(busy_timeout)
        // What is deleted or erased is overwritten, in the pages of rows and indexes and in free ones.
        .pragma("secure_delete", "ON")
        // Checkpoints make writers wait; the default of 1,000 pages is reached within a burst.
        .pragma("wal_autocheckpoint", "10000")
        .disable_statement_logging()
}

fn sqlite_reader(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("query_only", "ON")
        // Sorting must not need room on a disk that may be full.
        .pragma("temp_store", "MEMORY")
        .pragma("cache_size", READER_CACHE)
        .disable_statement_logging()
}

fn session(url: String) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.min_connections(1).max_connections(1).sqlx_logging(false);
    options
}

/// A connection to the SQLite file that may do everything, for migrations and maintenance.
pub(super) async fn sqlite_session(file: &Path) -> Result<DatabaseConnection, DbErr> {
    sqlite_session_with(sqlite_writer(file, MIGRATION_BUSY_TIMEOUT)).await
}

/// The same to a file that is of no use to anybody before it is whole: it waits for no disk, and keeps no journal on one.
pub(super) async fn sqlite_draft_session(file: &Path) -> Result<DatabaseConnection, DbErr> {
    let options = sqlite_writer(file, MIGRATION_BUSY_TIMEOUT);
    sqlite_session_with(options.journal_mode(SqliteJournalMode::Memory).synchronous(SqliteSynchronous::Off)).await
}

async fn sqlite_session_with(options: SqliteConnectOptions) -> Result<DatabaseConnection, DbErr> {
    // The address only says which kind of database it is.
    let mut session = session("sqlite:".to_owned());
    session.map_sqlx_sqlite_opts(move |_| options.clone());
    sea_orm::Database::connect(session).await
}

/// A single connection to PostgreSQL, for migrations and maintenance: session locks hold for all that is run on it.
pub(super) async fn postgres_session(url: &Secret) -> Result<DatabaseConnection, DbErr> {
    let mut options = session(url.reveal().to_owned());
    options.map_sqlx_postgres_opts(|options| options.extra_float_digits(None));
    sea_orm::Database::connect(options).await
}

/// The same to whichever database is at this address.
pub(super) async fn session_of(url: &DatabaseUrl) -> Result<DatabaseConnection, DbErr> {
    match url {
        DatabaseUrl::Sqlite(file) => sqlite_session(file).await,
        DatabaseUrl::Postgres(url) => postgres_session(url).await,
    }
}
