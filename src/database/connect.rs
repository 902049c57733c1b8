//! Connections and what is set on each.

use std::{path::Path, time::Duration};

use sea_orm::{
    ConnectOptions, DatabaseConnection, DbErr,
    sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::config::Secret;

/// How long a statement waits for another process's lock on the SQLite file, and a request for a free connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// Readers of the SQLite file.
const SQLITE_READERS: u32 = 4;
/// Connections that read PostgreSQL.
const POSTGRES_READERS: u32 = 8;
/// Connections that write PostgreSQL.
const POSTGRES_WRITERS: u32 = 16;

fn options(url: String, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .min_connections(1)
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .connect_timeout(PATIENCE)
        // A ping before each use would be a round trip more for every query.
        .test_before_acquire(false)
        // Statements carry personal data.
        .sqlx_logging(false);
    options
}

fn sqlite_url(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

/// The connection that everything is written through: made durable by an fsync at each commit.
pub(super) async fn sqlite_writer(file: &Path) -> Result<DatabaseConnection, DbErr> {
    let file = file.to_owned();
    let mut options = options(sqlite_url(&file), 1);
    options.map_sqlx_sqlite_opts(move |_| {
        SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE)
            // Checkpoints make writers wait; the default of 1,000 pages is reached within a burst.
            .pragma("wal_autocheckpoint", "10000")
    });
    sea_orm::Database::connect(options).await
}

/// Connections that cannot write. In WAL mode they neither wait for the writer nor delay it.
pub(super) async fn sqlite_readers(file: &Path) -> Result<DatabaseConnection, DbErr> {
    let file = file.to_owned();
    let mut options = options(sqlite_url(&file), SQLITE_READERS);
    options.map_sqlx_sqlite_opts(move |_| {
        SqliteConnectOptions::new().filename(&file).read_only(true).busy_timeout(PATIENCE).pragma("query_only", "ON")
    });
    sea_orm::Database::connect(options).await
}

/// The pool that PostgreSQL is written through.
pub(super) async fn postgres_writers(url: &Secret) -> Result<DatabaseConnection, DbErr> {
    sea_orm::Database::connect(options(url.reveal().to_owned(), POSTGRES_WRITERS)).await
}

/// Connections that cannot write: the server refuses it, so that a change outside the door is impossible here too.
pub(super) async fn postgres_readers(url: &Secret) -> Result<DatabaseConnection, DbErr> {
    let mut options = options(url.reveal().to_owned(), POSTGRES_READERS);
    options.map_sqlx_postgres_opts(|options| options.options([("default_transaction_read_only", "on")]));
    sea_orm::Database::connect(options).await
}

/// A single connection, for migrations: session locks hold for all that is run on it.
pub(super) async fn postgres_session(url: &Secret) -> Result<DatabaseConnection, DbErr> {
    sea_orm::Database::connect(options(url.reveal().to_owned(), 1)).await
}
