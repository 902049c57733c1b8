//! Whether the SQLite file under its path, and the files beside it, are still those that are open. A file that was deleted or
//! replaced goes on being written by those who have it open, and is gone when they close it; and without `-shm`, in which all
//! processes share their locks, nothing keeps two of them from writing at once.

use std::{
    fs::{File, Metadata},
    io,
    mem::ManuallyDrop,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use sea_orm::sqlx;

use crate::config::beside;

/// The error text for a file that is not in place.
pub(super) const NOT_IN_PLACE: &str = "the database file, or one beside it, is gone or another one";
/// How many connections may be open beyond those in use: each abandoned one keeps a thread until the disk answers.
const MAX_ABANDONED: usize = 16;

/// A file's device and inode.
type Identity = (u64, u64);

/// The header of the wal-index, in `-shm`: two copies, equal unless one is just being written.
const WAL_HEADER: usize = 48;

/// The header of the wal-index: another one after each commit ("WAL-mode File Format", section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WalHeader([u8; WAL_HEADER]);

impl WalHeader {
    /// Whether there was one commit since `before`.
    pub(super) fn follows(&self, before: &Self) -> bool {
        self.commits() == before.commits().map(|commits| commits.wrapping_add(1))
    }

    /// The number of commits, counted from any start: `iChange`.
    fn commits(&self) -> Option<u32> {
        self.0.get(8..12).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes)
    }
}

/// A file's size and last change.
type Written = (u64, i64, i64);

/// The database file with its write-ahead log and its locks, as they were when they were opened.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    database: PathBuf,
    opened: Identity,
    /// The write-ahead log and the locks (`-wal`, `-shm`).
    sidecars: [PathBuf; 2],
    seen: Mutex<Seen>,
    in_place: AtomicBool,
    connections: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The write-ahead log and the locks, once they are open.
    sidecars: Option<[Identity; 2]>,
    /// The locks, to read the wal-index in them. Never closed: with any descriptor of a file that a process closes, POSIX takes
    /// its locks on the file away, those of SQLite too.
    locks: Option<ManuallyDrop<File>>,
    /// The database file, when everything was last in place.
    database: Written,
}

/// What became of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileState {
    /// All are where they were.
    InPlace,
    /// Sidecars were deleted, but nobody else has written since and this process still has them open: they can be saved.
    SidecarsDeleted,
    /// Another file is there, or none, or somebody else may have written without the locks.
    Lost,
}

/// Counts as an open connection until it is dropped.
pub(super) struct OpenConnection(Arc<AtomicUsize>);

impl DatabaseFile {
    /// The file under this path, before it is opened for the first time.
    pub(super) fn at(path: &Path) -> Result<Self, sqlx::Error> {
        Ok(Self {
            database: path.to_owned(),
            opened: identity(&path.metadata()?),
            sidecars: [beside(path, "-wal"), beside(path, "-shm")],
            seen: Mutex::default(),
            in_place: AtomicBool::new(true),
            connections: Arc::default(),
        })
    }

    /// Takes the sidecars as they are now for those that are open.
    pub(super) fn remember_sidecars(&self) -> Result<(), sqlx::Error> {
        let [log, locks] = &self.sidecars;
        let sidecars = [identity(&log.metadata()?), identity(&locks.metadata()?)];
        let locks = ManuallyDrop::new(File::open(locks)?);
        let mut seen = self.seen();
        seen.sidecars = Some(sidecars);
        seen.locks = Some(locks);
        Ok(())
    }

    /// Accepts any sidecars from now on.
    pub(super) fn forget_sidecars(&self) {
        let mut seen = self.seen();
        seen.sidecars = None;
        seen.locks = None;
    }

    /// The header of the wal-index, unless it is just being written.
    pub(super) fn wal_header(&self) -> Option<WalHeader> {
        let mut copies = [0; 2 * WAL_HEADER];
        self.seen().locks.as_ref()?.read_exact_at(&mut copies, 0).ok()?;
        let (first, second) = copies.split_at(WAL_HEADER);
        if first != second { None } else { first.try_into().ok().map(WalHeader) }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.database
    }

    /// Whether the files were in place at the last check.
    pub(super) fn is_in_place(&self) -> bool {
        self.in_place.load(Ordering::Relaxed)
    }

    /// Whether the write-ahead log can be opened for writing, or is not there. SQLite has no locks on it, which closing it would
    /// take away.
    pub(super) fn log_opens(&self) -> bool {
        let [log, _] = &self.sidecars;
        let opened = File::options().write(true).open(log);
        opened.is_ok() || !log.exists()
    }

    /// Checks what became of the files.
    pub(super) fn check(&self) -> FileState {
        let state = self.inspect();
        let in_place = state == FileState::InPlace;
        if self.in_place.swap(in_place, Ordering::Relaxed) && !in_place {
            tracing::error!(?state, "{NOT_IN_PLACE}");
        }
        state
    }

    fn inspect(&self) -> FileState {
        let Ok(database) = self.database.metadata() else { return FileState::Lost };
        if identity(&database) != self.opened {
            return FileState::Lost;
        }
        let written = written(&database);
        let mut seen = self.seen();
        let mut deleted = false;
        for (path, opened) in self.sidecars.iter().zip(seen.sidecars.iter().flatten()) {
            match path.metadata() {
                Ok(found) if identity(&found) == *opened => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => deleted = true,
                _ => return FileState::Lost,
            }
        }
        match deleted {
            true if seen.database != written => FileState::Lost,
            true => FileState::SidecarsDeleted,
            false => {
                seen.database = written;
                FileState::InPlace
            }
        }
    }

    /// Takes the database file as it is now for what this process made of it.
    pub(super) fn remember_written(&self) -> Result<(), sqlx::Error> {
        self.seen().database = written(&self.database.metadata()?);
        Ok(())
    }

    /// Fails unless the files are in place. Then nothing may be opened: SQLite would create an empty file, or apply this
    /// file's write-ahead log to another one.
    ///
    /// # Errors
    /// An error of the connection.
    pub(super) fn ensure_in_place(&self) -> Result<(), sqlx::Error> {
        if self.check() == FileState::InPlace { Ok(()) } else { Err(not_in_place()) }
    }

    /// Counts one more connection, of which `max_in_use` may be in use.
    ///
    /// # Errors
    /// An error of the connection, where too many abandoned ones have not ended.
    pub(super) fn count_connection(&self, max_in_use: usize) -> Result<OpenConnection, sqlx::Error> {
        let open = OpenConnection(Arc::clone(&self.connections));
        match open.0.fetch_add(1, Ordering::SeqCst) {
            others if others < max_in_use + MAX_ABANDONED => Ok(open),
            _ => Err(sqlx::Error::Io(io::Error::other("the disk does not answer"))),
        }
    }

    /// How many connections are open.
    pub(super) fn open_connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The error of a file that is not in place.
pub(super) fn not_in_place() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::NotFound, NOT_IN_PLACE))
}

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino())
}

fn written(file: &Metadata) -> Written {
    (file.len(), file.mtime(), file.mtime_nsec())
}
