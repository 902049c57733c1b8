//! Whether a database file is whole, as SQLite sees it, and what is in it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use sea_orm::sqlx::{
    self, AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection, raw_sql,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};

use super::error::BackupError;

/// How long somebody who has a file open is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// How many faults are told.
const FAULTS: usize = 3;

/// A connection that only reads.
pub(super) async fn reader(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true).disable_statement_logging();
    SqliteConnection::connect_with(&options).await
}

/// Fails with what is damaged: pages, rows, indexes, references. A quick check leaves out whether indexes agree with their rows.
///
/// # Errors
/// A file that is damaged or cannot be read.
pub async fn integrity(file: &Path, is_quick: bool) -> Result<(), BackupError> {
    let look = async {
        let mut connection = reader(file).await?;
        let check = if is_quick { "PRAGMA quick_check(3)" } else { "PRAGMA integrity_check(3)" };
        let mut faults = texts(&mut connection, check).await?;
        faults.retain(|fault| fault != "ok");
        let orphans = "SELECT 'a row of ' || \"table\" || ' refers to one that is not there' FROM pragma_foreign_key_check LIMIT 3";
        faults.extend(texts(&mut connection, orphans).await?);
        connection.close().await?;
        Ok::<_, sqlx::Error>(faults)
    };
    match look.await {
        Ok(faults) if faults.is_empty() => Ok(()),
        Ok(mut faults) => {
            faults.truncate(FAULTS);
            Err(BackupError::Damaged(file.to_owned(), faults.join("; ").replace('\n', " ")))
        }
        Err(error) if error.as_database_error().is_some() => {
            Err(BackupError::Damaged(file.to_owned(), error.to_string()))
        }
        Err(error) => Err(BackupError::database(file)(error)),
    }
}

/// The last migration, and how many rows each table has.
pub(super) async fn contents(file: &Path) -> Result<(String, BTreeMap<String, u64>), BackupError> {
    let look = async {
        let mut connection = reader(file).await?;
        let schema = texts(&mut connection, "SELECT coalesce(max(version), '') FROM seaql_migrations").await?;
        // What the index of searches is kept in is its own affair.
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
                      AND name NOT LIKE 'search\\_index%' ESCAPE '\\' ORDER BY name";
        let mut rows = BTreeMap::new();
        for table in texts(&mut connection, tables).await? {
            let count = format!("SELECT count(*) FROM \"{table}\"");
            let count: i64 = raw_sql(AssertSqlSafe(count)).fetch_one(&mut connection).await?.try_get(0)?;
            rows.insert(table, count.unsigned_abs());
        }
        connection.close().await?;
        Ok::<_, sqlx::Error>((schema.into_iter().next().unwrap_or_default(), rows))
    };
    look.await.map_err(BackupError::database(file))
}

/// Moves all that a log holds into the file, and has SQLite keep none: then the file is all there is of it.
pub(super) async fn settle(file: &Path) -> Result<(), BackupError> {
    let settled = async { without_log(file).await?.close().await };
    settled.await.map_err(BackupError::database(file))
}

/// A connection to a file that has no log from then on. That takes that nobody else has it open.
pub(super) async fn without_log(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(BUSY_TIMEOUT).disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options.journal_mode(SqliteJournalMode::Delete)).await?;
    let mode: String = raw_sql("PRAGMA journal_mode").fetch_one(&mut connection).await?.try_get(0)?;
    if mode == "delete" { Ok(connection) } else { Err(sqlx::Error::Protocol("database is locked".to_owned())) }
}

async fn texts(connection: &mut SqliteConnection, sql: &'static str) -> Result<Vec<String>, sqlx::Error> {
    raw_sql(sql).fetch_all(connection).await?.iter().map(|row| row.try_get(0)).collect()
}
