//! Removing from the database's files what changed and deleted rows left behind.

use sea_orm::{ConnectionTrait, DbErr};

use super::connect;
use crate::config::DatabaseUrl;

/// Removes from the database's files what changed and deleted rows left behind. Others may go on reading; on SQLite,
/// writers wait.
///
/// # Errors
/// A fault of the database.
pub async fn clean(url: &DatabaseUrl) -> Result<(), DbErr> {
    let connection = match url {
        DatabaseUrl::Sqlite(file) => connect::sqlite_session(file).await?,
        DatabaseUrl::Postgres(url) => connect::postgres_session(url).await?,
    };
    // The planner's statistics of PostgreSQL hold values too.
    let vacuum = if matches!(url, DatabaseUrl::Postgres(_)) { "VACUUM (ANALYZE)" } else { "VACUUM" };
    connection.execute_unprepared(vacuum).await?;
    if let DatabaseUrl::Sqlite(_) = url {
        connection.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await?;
    }
    connection.close().await
}
