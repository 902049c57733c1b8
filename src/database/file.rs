//! Whether the SQLite file under its path is still the one that is open, and so are the files beside it. What was deleted or
//! replaced goes on being written by those who have it open, and is gone when they close it; and without the one file that
//! all processes share their locks in (`-shm`), nothing keeps two of them from writing at once.

use std::{
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use sea_orm::sqlx;

use crate::config::beside;

/// What is said of a file that is not in place.
pub(super) const GONE: &str = "the database file, or one beside it, is gone or another one";
/// How many connections may be open beyond those in use: each that was given up keeps a thread until the disk answers.
const GIVEN_UP: usize = 16;

/// A file's device and inode.
type Identity = (u64, u64);

/// A file's size and last change.
type Written = (u64, i64, i64);

/// The database file with its write-ahead log and its locks, as they were when they were opened.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    database: PathBuf,
    opened: Identity,
    /// The write-ahead log and the locks.
    beside: [PathBuf; 2],
    seen: Mutex<Seen>,
    in_place: AtomicBool,
    connections: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The files beside the database, once they are open.
    beside: Option<[Identity; 2]>,
    /// The database file, when everything was in place last.
    database: Written,
}

/// Where the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Where they were.
    Intact,
    /// Files beside the database were deleted, and nobody else wrote since: this process still has them open.
    BesideDeleted,
    /// Another file is there, or none, or somebody else may have written without the locks.
    Lost,
}

/// Counts as an open connection until it is dropped.
pub(super) struct Opened(Arc<AtomicUsize>);

impl DatabaseFile {
    /// The file under this path, before it is opened for the first time.
    pub(super) fn of(path: &Path) -> Result<Self, sqlx::Error> {
        Ok(Self {
            database: path.to_owned(),
            opened: identity(&path.metadata()?),
            beside: [beside(path, "-wal"), beside(path, "-shm")],
            seen: Mutex::default(),
            in_place: AtomicBool::new(true),
            connections: Arc::default(),
        })
    }

    /// Takes the files beside the database as they are now for those that are open.
    pub(super) fn know_beside(&self) -> Result<(), sqlx::Error> {
        let [log, locks] = &self.beside;
        let beside = [identity(&log.metadata()?), identity(&locks.metadata()?)];
        self.seen().beside = Some(beside);
        Ok(())
    }

    /// Takes any files beside the database from now on.
    pub(super) fn forget_beside(&self) {
        self.seen().beside = None;
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.database
    }

    /// Whether the files were in place when they were last looked at.
    pub(super) fn is_in_place(&self) -> bool {
        self.in_place.load(Ordering::Relaxed)
    }

    /// Looks where the files are.
    pub(super) fn look(&self) -> Place {
        let place = self.find();
        let in_place = place == Place::Intact;
        if self.in_place.swap(in_place, Ordering::Relaxed) && !in_place {
            tracing::error!(?place, "{GONE}");
        }
        place
    }

    fn find(&self) -> Place {
        let Ok(database) = self.database.metadata() else { return Place::Lost };
        if identity(&database) != self.opened {
            return Place::Lost;
        }
        let written = written(&database);
        let mut seen = self.seen();
        let mut deleted = false;
        for (path, opened) in self.beside.iter().zip(seen.beside.iter().flatten()) {
            match path.metadata() {
                Ok(found) if identity(&found) == *opened => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => deleted = true,
                _ => return Place::Lost,
            }
        }
        match deleted {
            true if seen.database != written => Place::Lost,
            true => Place::BesideDeleted,
            false => {
                seen.database = written;
                Place::Intact
            }
        }
    }

    /// Takes the database file as it is now for what this process made of it.
    pub(super) fn know_written(&self) -> Result<(), sqlx::Error> {
        self.seen().database = written(&self.database.metadata()?);
        Ok(())
    }

    /// Makes sure that the files are in place. Where they are not, nothing may be opened: SQLite would make an empty file, or
    /// let another one meet the write-ahead log of this one.
    ///
    /// # Errors
    /// An error of the connection.
    pub(super) fn must_be_in_place(&self) -> Result<(), sqlx::Error> {
        if self.look() == Place::Intact { Ok(()) } else { Err(gone()) }
    }

    /// Counts one more connection, of which `most` may be in use.
    ///
    /// # Errors
    /// An error of the connection, where too many that were given up have not ended.
    pub(super) fn count(&self, most: usize) -> Result<Opened, sqlx::Error> {
        let opened = Opened(Arc::clone(&self.connections));
        match opened.0.fetch_add(1, Ordering::SeqCst) {
            others if others < most + GIVEN_UP => Ok(opened),
            _ => Err(sqlx::Error::Io(io::Error::other("the disk does not answer"))),
        }
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The error of a file that is not in place.
pub(super) fn gone() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::NotFound, GONE))
}

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino())
}

fn written(file: &Metadata) -> Written {
    (file.len(), file.mtime(), file.mtime_nsec())
}
