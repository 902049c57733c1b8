//! What keeps SQLite from deleting the files beside the database, so that their absence means something.

use std::{sync::Arc, time::Duration};

use sea_orm::{DbBackend, DbErr, Statement};
use tokio::time::Instant;

use super::{connect::Target, connection::Connection, deadline::answer, fault::failed, file::DatabaseFile};

/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection that is kept open and never used. While there is one SQLite does not delete the write-ahead log and the locks
/// by itself, whatever becomes of the other connections.
pub(super) struct Keeper {
    file: Arc<DatabaseFile>,
    connection: Option<Connection>,
}

impl Keeper {
    pub(super) fn of(file: Arc<DatabaseFile>) -> Self {
        Self { file, connection: None }
    }

    /// Opens the connection, if it is not, and takes note of the files beside the database.
    pub(super) async fn open(&mut self) -> Result<(), DbErr> {
        if self.connection.is_none() {
            self.connection = Some(opened(&self.file).await?);
            self.file.know_beside().map_err(failed)?;
        }
        Ok(())
    }

    /// Whether the file can be read, on a connection that is opened for that.
    pub(super) async fn look(&self) -> Result<(), DbErr> {
        opened(&self.file).await?.close().await.map_err(failed)
    }

    /// Closes the connection. From now on SQLite may delete the files beside the database.
    pub(super) async fn close(&mut self) {
        self.file.forget_beside();
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::error!(%error, "cannot close the database");
        }
    }
}

/// A connection on which something was read: the write-ahead log is open too.
async fn opened(file: &Arc<DatabaseFile>) -> Result<Connection, DbErr> {
    let until = Instant::now() + PATIENCE;
    let mut connection = answer(until, Target::SqliteReader(Arc::clone(file)).connect()).await.map_err(failed)?;
    let statement = Statement::from_string(DbBackend::Sqlite, "SELECT count(*) FROM sqlite_schema");
    connection.query(&statement, until).await?;
    Ok(connection)
}
