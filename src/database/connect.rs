//! Connections and what is set on each.

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

use super::{connection::Connection, file::DatabaseFile};
use crate::config::{Pooler, Secret};

/// How long a statement waits for another process's lock on the SQLite file before it is refused; the writer asks again.
const BUSY: Duration = Duration::from_millis(250);
/// Readers of the SQLite file.
pub(super) const SQLITE_READERS: usize = 4;
/// All connections to it: with the writer, the keeper, and one by which is looked whether it can be read.
const SQLITE_CONNECTIONS: usize = SQLITE_READERS + 3;
/// How long a migration waits for it.
const MIGRATION_BUSY: Duration = Duration::from_secs(5);
/// How long a server that refuses connections, because it is just starting, is asked again.
const STARTING: Duration = Duration::from_secs(2);
/// How long to wait before it is asked again.
const AGAIN: Duration = Duration::from_millis(50);

/// What a connection is opened to, and for what.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// The SQLite file, to be written: made durable by an fsync at each commit.
    SqliteWriter(Arc<DatabaseFile>),
    /// The SQLite file, to be read. In WAL mode readers neither wait for the writer nor delay it.
    SqliteReader(Arc<DatabaseFile>),
    /// A PostgreSQL server, with what is set on each session.
    Postgres { options: Box<PgConnectOptions>, session: String, named_statements: bool },
}

impl Target {
    /// A PostgreSQL server, to be read or written. The server refuses changes to readers, so that a change outside the
    /// executor is impossible here too. It gives up what nobody waits for any more, after `patience`, and notices within
    /// as long that this process is gone.
    pub(super) fn postgres(
        url: &Secret,
        pooler: Pooler,
        patience: Duration,
        read_only: bool,
    ) -> Result<Self, sqlx::Error> {
        let mut options: PgConnectOptions = url.reveal().parse()?;
        // Statements carry personal data. No column is a float, and PgBouncer refuses the setting.
        options = options.disable_statement_logging().extra_float_digits(None);
        if pooler == Pooler::Transaction {
            options = options.statement_cache_capacity(0);
        }
        let (millis, seconds) = (patience.as_millis(), patience.as_secs());
        let mut session = String::new();
        if !pooler.shares_sessions() {
            session = format!(
                "SET statement_timeout = {millis}; SET idle_in_transaction_session_timeout = {millis}; \
                 SET tcp_user_timeout = {millis}; SET tcp_keepalives_idle = {seconds}; \
                 SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3"
            );
            if read_only {
                session.push_str("; SET default_transaction_read_only = on");
            }
        }
        // Without a cache the driver names statements all the same.
        Ok(Self::Postgres { options: Box::new(options), session, named_statements: pooler != Pooler::Transaction })
    }

    /// Whether there is a network in between, or a server that may be restarted.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Self::Postgres { .. })
    }

    /// Opens a connection. Waits for a moment where the server is just starting.
    pub(super) async fn connect(&self) -> Result<Connection, sqlx::Error> {
        match self {
            Self::SqliteWriter(file) => sqlite(file, sqlite_writer(file.path(), BUSY).create_if_missing(false)).await,
            Self::SqliteReader(file) => sqlite(file, sqlite_reader(file.path())).await,
            Self::Postgres { options, session, named_statements } => {
                let until = Instant::now() + STARTING;
                let mut connection = loop {
                    match options.connect().await {
                        Ok(connection) => break Connection::postgres(connection, *named_statements),
                        Err(error) if is_starting(&error) && Instant::now() < until => tokio::time::sleep(AGAIN).await,
                        Err(error) => return Err(error),
                    }
                };
                if !session.is_empty() {
                    connection.set_up(session, until + STARTING).await?;
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

async fn sqlite(file: &DatabaseFile, options: SqliteConnectOptions) -> Result<Connection, sqlx::Error> {
    file.must_be_in_place()?;
    let opened = file.count(SQLITE_CONNECTIONS)?;
    let connection = options.connect().await?;
    // It may have been replaced in between.
    file.must_be_in_place()?;
    Connection::sqlite(connection, opened).await
}

fn sqlite_writer(file: &Path, busy: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(busy)
        // Checkpoints make writers wait; the default of 1,000 pages is reached within a burst.
        .pragma("wal_autocheckpoint", "10000")
        .disable_statement_logging()
}

fn sqlite_reader(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .busy_timeout(BUSY)
        .pragma("query_only", "ON")
        // What is sorted must not need room on a disk that may be full.
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

fn session(url: String) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.min_connections(1).max_connections(1).sqlx_logging(false);
    options
}

/// A connection to the SQLite file that may do everything, for migrations and maintenance.
pub(super) async fn sqlite_session(file: &Path) -> Result<DatabaseConnection, DbErr> {
    let mut options = session(format!("sqlite://{}", file.display()));
    let file = file.to_owned();
    options.map_sqlx_sqlite_opts(move |_| sqlite_writer(&file, MIGRATION_BUSY));
    sea_orm::Database::connect(options).await
}

/// A single connection to PostgreSQL, for migrations and maintenance: session locks hold for all that is run on it.
pub(super) async fn postgres_session(url: &Secret) -> Result<DatabaseConnection, DbErr> {
    let mut options = session(url.reveal().to_owned());
    options.map_sqlx_postgres_opts(|options| options.extra_float_digits(None));
    sea_orm::Database::connect(options).await
}
