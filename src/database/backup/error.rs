//! Why there is no backup, or why it is not restored.

use std::{fmt, io, path::PathBuf};

use sea_orm::sqlx;

const MIB: u64 = 1024 * 1024;
/// SQLite's code for a disk without room.
const FULL: &str = "13";

/// Why there is no backup, or why it is not restored.
#[derive(Debug)]
pub enum BackupError {
    /// There is no database to be backed up.
    Missing(PathBuf),
    /// What would be written is there already.
    Exists(PathBuf),
    /// Another process is writing it.
    UnderWay(PathBuf),
    /// There is too little room on the disk: how much is needed, and how much there is, in bytes.
    NoRoom {
        /// Where.
        at: PathBuf,
        /// How much is needed.
        needed: u64,
        /// How much there is.
        free: u64,
    },
    /// The disk became full.
    Full(PathBuf),
    /// What is there is no backup, or not a whole one, or was changed.
    Damaged(PathBuf, String),
    /// The database to be replaced is in use.
    InUse(PathBuf),
    /// What is in the place of the database keeps it from being restored.
    InTheWay(PathBuf, String),
    /// A file cannot be read or written.
    File(PathBuf, io::Error),
    /// A fault of SQLite about a file.
    Database(PathBuf, sqlx::Error),
}

impl BackupError {
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(path),
            _ => Self::File(path, error),
        }
    }

    pub(super) fn database(path: impl Into<PathBuf>) -> impl FnOnce(sqlx::Error) -> Self {
        let path = path.into();
        |error| match error.as_database_error().and_then(|error| error.code()) {
            Some(code) if code == FULL => Self::Full(path),
            _ => Self::Database(path, error),
        }
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(file) => write!(f, "there is no database {}", file.display()),
            Self::Exists(path) => write!(f, "{} is there already, and nothing is overwritten", path.display()),
            Self::UnderWay(path) => write!(f, "another process is writing {}", path.display()),
            Self::NoRoom { at, needed, free } => write!(
                f,
                "{} has too little room: {} MiB are needed, and {} are free",
                at.display(),
                needed.div_ceil(MIB),
                free / MIB
            ),
            Self::Full(path) => write!(f, "{}: the disk is full; nothing is left of what was begun", path.display()),
            Self::Damaged(path, what) => write!(f, "the backup {} is not whole: {what}", path.display()),
            Self::InUse(file) => {
                write!(f, "the database {} is in use: stop the service and whatever else has it open", file.display())
            }
            Self::InTheWay(path, what) => write!(f, "{}: {what}", path.display()),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Database(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for BackupError {}
