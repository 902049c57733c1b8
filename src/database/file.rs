//! Whether the SQLite file under its path is still the one that is open. A file that was deleted or replaced goes on being
//! written by those who have it open, and all of that is gone when they close it.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use sea_orm::sqlx;

use crate::config::beside;

/// What is said of a file that is not in place.
pub(super) const GONE: &str = "the database file is gone or another one";

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

impl DatabaseFile {
    /// The file under this path, before it is opened for the first time.
    pub(super) fn of(path: &Path) -> Result<Self, sqlx::Error> {
        Ok(Self {
            database: path.to_owned(),
            log: beside(path, "-wal"),
            opened: identity(path)?,
            log_opened: Mutex::default(),
            in_place: AtomicBool::new(true),
        })
    }

    /// Takes the write-ahead log as it is now for the one that is open.
    pub(super) fn know_log(&self) -> Result<(), sqlx::Error> {
        *self.log_opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity(&self.log)?);
        Ok(())
    }

    /// Takes any write-ahead log from now on.
    pub(super) fn forget_log(&self) {
        *self.log_opened.lock().unwrap_or_else(PoisonError::into_inner) = None;
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

/// The error of a file that is not in place.
pub(super) fn gone() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::NotFound, GONE))
}

fn identity(path: &Path) -> io::Result<Identity> {
    path.metadata().map(|file| (file.dev(), file.ino()))
}
