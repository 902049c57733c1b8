//! Keeps SQLite from deleting the write-ahead log and the locks by itself, so that their absence means something.

use std::{sync::Arc, time::Duration};

use sea_orm::{DbBackend, DbErr, Statement};
use tokio::time::Instant;

use super::{connect::Connector, connection::Connection, deadline::answer_by, fault::db_error, file::DatabaseFile};

/// How long it waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that is kept open and never used. While there is one, SQLite does not delete the files beside the database,
/// whatever becomes of the other connections.
pub(super) struct WalGuard {
    file: Arc<DatabaseFile>,
    connection: Option<Connection>,
}

impl WalGuard {
    pub(super) fn new(file: Arc<DatabaseFile>) -> Self {
        Self { file, connection: None }
    }

    /// Opens the connection, if it is not, and takes note of the files beside the database.
    pub(super) async fn open(&mut self) -> Result<(), DbErr> {
        if self.connection.is_none() {
            self.connection = Some(opened(&self.file).await?);
            self.file.remember_sidecars().map_err(db_error)?;
        }
        Ok(())
    }

    /// Checks on a fresh connection that the file can be read.
    pub(super) async fn check_readable(&self) -> Result<(), DbErr> {
        opened(&self.file).await?.close().await.map_err(db_error)
    }

    /// Closes the connection. From now on SQLite may delete the files beside the database.
    pub(super) async fn close(&mut self) {
        self.file.forget_sidecars();
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::error!(%error, "cannot close the database");
        }
    }
}

/// A connection that has read something: only then is the write-ahead log open too.
async fn opened(file: &Arc<DatabaseFile>) -> Result<Connection, DbErr> {
    let until = Instant::now() + TIMEOUT;
    let mut connection =
        answer_by(until, Connector::SqliteReader(Arc::clone(file)).connect()).await.map_err(db_error)?;
    let statement = Statement::from_string(DbBackend::Sqlite, "SELECT count(*) FROM sqlite_schema");
    connection.query(&statement, until).await?;
    Ok(connection)
}
