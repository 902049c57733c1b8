//! Files that are written beside their place and then moved there.

use std::{io, path::Path};

use rustix::fs::{CWD, RenameFlags, renameat_with, statvfs};

use super::error::BackupError;
use crate::database::on_disk::{self, directory_of};

/// Fails unless there is room for so many bytes where this is to be written.
pub(super) fn ensure_room(path: &Path, needed: u64) -> Result<(), BackupError> {
    let at = directory_of(path);
    let disk = statvfs(at).map_err(|error| BackupError::File(at.to_owned(), error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < needed { Err(BackupError::NoRoom { at: at.to_owned(), needed, free }) } else { Ok(()) }
}

/// Has what is in a file, or the names in a directory, on the disk.
pub(super) fn sync(path: &Path) -> Result<(), BackupError> {
    on_disk::sync(path).map_err(BackupError::file(path))
}

/// Moves something to a name that nothing has, in one step.
pub(super) fn move_to_new(from: &Path, to: &Path) -> Result<(), BackupError> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(io::Error::from) {
        Ok(()) => sync(directory_of(to)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(BackupError::Exists(to.to_owned())),
        Err(error) => Err(BackupError::file(to)(error)),
    }
}
