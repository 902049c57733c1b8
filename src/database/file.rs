//! Whether the SQLite file under its path is still the one that is open. A file that was deleted or replaced goes on being
//! written by those who have it open, and all of that is gone when they close it.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sea_orm::{
    DbBackend, DbErr, Statement,
    sqlx::{self, Error::Io},
};
use tokio::time::Instant;

use super::{
    connect::{Target, failed},
    connection::Connection,
};
use crate::config::beside;

/// What is said of a file that is not in place.
pub(super) const GONE: &str = "the database file is gone or another one";
/// How long the keeper waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A file's device and inode.
type Identity = (u64, u64);

/// The database file and its write-ahead log, as they were when they were opened.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    database: PathBuf,
    log: PathBuf,
    opened: Identity,
    log_opened: Mutex<Option<Identity>>,
    in_place: AtomicBool,
}

/// A connection that is kept open and never used. While there is one SQLite does not delete the write-ahead log by itself,
/// whatever becomes of the other connections.
pub(super) struct Keeper {
    file: Arc<DatabaseFile>,
    connection: Option<Connection>,
}

impl DatabaseFile {
    /// The file under this path, before it is opened for the first time.
    pub(super) fn of(path: &Path) -> Result<Self, DbErr> {
        Ok(Self {
            database: path.to_owned(),
            log: beside(path, "-wal"),
            opened: identity(path).map_err(|error| failed(Io(error)))?,
            log_opened: Mutex::default(),
            in_place: AtomicBool::new(true),
        })
    }

    /// What the write-ahead log is from now on, if that is known.
    fn know_log(&self, log: Option<Identity>) {
        *self.log_opened.lock().unwrap_or_else(PoisonError::into_inner) = log;
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.database
    }

    /// Whether the file was in place when it was last looked at.
    pub(super) fn is_in_place(&self) -> bool {
        self.in_place.load(Ordering::Relaxed)
    }

    /// Looks whether the file is in place.
    pub(super) fn look(&self) -> bool {
        let log = *self.log_opened.lock().unwrap_or_else(PoisonError::into_inner);
        let is = |path, opened| identity(path).is_ok_and(|found| found == opened);
        let in_place = is(&self.database, self.opened) && log.is_none_or(|opened| is(&self.log, opened));
        if self.in_place.swap(in_place, Ordering::Relaxed) && !in_place {
            tracing::error!("{GONE}");
        }
        in_place
    }

    /// Makes sure that the file is in place. Where it is not, nothing may be opened: SQLite would make an empty file, or let
    /// another one meet the write-ahead log of this one.
    ///
    /// # Errors
    /// An error of the connection.
    pub(super) fn must_be_in_place(&self) -> Result<(), sqlx::Error> {
        if self.look() { Ok(()) } else { Err(gone()) }
    }
}

impl Keeper {
    pub(super) fn of(file: Arc<DatabaseFile>) -> Self {
        Self { file, connection: None }
    }

    /// Opens the connection, if it is not, and takes note of the write-ahead log.
    pub(super) async fn open(&mut self) -> Result<(), DbErr> {
        if self.connection.is_none() {
            self.connection = Some(opened(&self.file).await?);
            self.file.know_log(Some(identity(&self.file.log).map_err(|error| failed(Io(error)))?));
        }
        Ok(())
    }

    /// Whether the file can be read, on a connection that is opened for that.
    pub(super) async fn look(&self) -> Result<(), DbErr> {
        opened(&self.file).await?.close().await.map_err(failed)
    }

    /// Closes the connection. From now on SQLite may delete the write-ahead log.
    pub(super) async fn close(&mut self) {
        self.file.know_log(None);
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::error!(%error, "cannot close the database");
        }
    }
}

/// A connection on which something was read: the write-ahead log is open too.
async fn opened(file: &Arc<DatabaseFile>) -> Result<Connection, DbErr> {
    let mut connection = Target::SqliteReader(Arc::clone(file)).connect().await.map_err(failed)?;
    let statement = Statement::from_string(DbBackend::Sqlite, "SELECT count(*) FROM sqlite_schema");
    connection.query(&statement, Instant::now() + PATIENCE).await?;
    Ok(connection)
}

/// The error of a file that is not in place.
pub(super) fn gone() -> sqlx::Error {
    Io(io::Error::new(io::ErrorKind::NotFound, GONE))
}

fn identity(path: &Path) -> io::Result<Identity> {
    path.metadata().map(|file| (file.dev(), file.ino()))
}
