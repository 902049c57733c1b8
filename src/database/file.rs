//! Whether the SQLite file under its path is still the one that is open. A file that was deleted or replaced goes on being
//! written by those who have it open, and all of that is gone when they close it.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
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
use crate::{
    config::beside,
    error::{ApiError, Result},
};

/// What is said of a file that is not in place.
pub(super) const GONE: &str = "the database file is gone or another one";
/// How long the keeper waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A file's device and inode.
type Identity = (u64, u64);

/// The database file and its write-ahead log, as they were when they were opened.
pub(super) struct DatabaseFile {
    files: [(PathBuf, Identity); 2],
    in_place: AtomicBool,
}

/// A connection that is kept open and never written through. While there is one SQLite does not delete the write-ahead log
/// by itself, whatever becomes of the other connections.
pub(super) struct Keeper {
    target: Target,
    connection: Option<Connection>,
}

impl DatabaseFile {
    /// The file under this path, which is open, and has a keeper.
    pub(super) fn of(path: &Path) -> std::result::Result<Self, DbErr> {
        let identified = |path: PathBuf| identity(&path).map(|identity| (path, identity));
        let files = identified(path.to_owned()).and_then(|file| Ok([file, identified(beside(path, "-wal"))?]));
        Ok(Self { files: files.map_err(|error| failed(Io(error)))?, in_place: AtomicBool::new(true) })
    }

    /// Whether the file was in place when it was last looked at.
    pub(super) fn is_in_place(&self) -> bool {
        self.in_place.load(Ordering::Relaxed)
    }

    /// Looks whether the file is in place.
    pub(super) fn look(&self) -> bool {
        let in_place = self.files.iter().all(|(path, opened)| identity(path).is_ok_and(|found| found == *opened));
        if self.in_place.swap(in_place, Ordering::Relaxed) && !in_place {
            tracing::error!("{GONE}");
        }
        in_place
    }

    /// Makes sure that the file is in place.
    ///
    /// # Errors
    /// 503 where it is not.
    pub(super) fn must_be_in_place(&self) -> Result<()> {
        if self.look() { Ok(()) } else { Err(ApiError::unavailable(GONE)) }
    }
}

impl Keeper {
    /// Opens the file.
    pub(super) async fn open(path: &Path) -> std::result::Result<Self, DbErr> {
        let mut keeper = Self { target: Target::SqliteReader(path.to_owned()), connection: None };
        keeper.look().await?;
        Ok(keeper)
    }

    /// Reads something, which opens the write-ahead log.
    pub(super) async fn look(&mut self) -> std::result::Result<(), DbErr> {
        let mut connection = match self.connection.take().filter(Connection::is_trusted) {
            Some(connection) => connection,
            None => self.target.connect().await.map_err(failed)?,
        };
        let statement = Statement::from_string(DbBackend::Sqlite, "SELECT count(*) FROM sqlite_schema");
        let looked = connection.query(&statement, Instant::now() + PATIENCE).await;
        self.connection = Some(connection);
        looked.map(drop)
    }

    /// Closes it.
    pub(super) async fn close(self) -> std::result::Result<(), sqlx::Error> {
        match self.connection {
            Some(connection) => connection.close().await,
            None => Ok(()),
        }
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    path.metadata().map(|file| (file.dev(), file.ino()))
}
