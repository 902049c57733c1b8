//! Files that are written beside their place, and moved there when they are whole and on the disk.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::config::beside;

/// The directory that something is in.
pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Has what is in a file, or the names in a directory, on the disk.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A database file with what SQLite keeps beside it.
pub(super) fn with_sidecars(file: &Path) -> [PathBuf; 4] {
    [file.to_owned(), beside(file, "-wal"), beside(file, "-shm"), beside(file, "-journal")]
}

/// Removes files, as far as they are there.
pub(super) fn remove(files: &[PathBuf]) -> io::Result<()> {
    for path in files {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
