//! Who else on this machine may open the files of the database. New ones are for their owner alone (the process sets its
//! umask); what is there already may have been opened to a group on purpose, so it stays as it is, and the log says so.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::config::{DatabaseUrl, beside};

/// The bits of everybody but the owner.
const OTHERS: u32 = 0o077;

/// What others on this machine may do with the files of an embedded database: path and mode, where it is anything.
#[must_use]
pub fn open_to_others(url: &DatabaseUrl) -> Vec<(PathBuf, u32)> {
    let DatabaseUrl::Sqlite(file) = url else { return Vec::new() };
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let files = [directory.to_owned(), file.clone(), beside(file, "-wal"), beside(file, "-shm")];
    let mode = |path: PathBuf| -> io::Result<(PathBuf, u32)> {
        let mode = path.metadata()?.permissions().mode() & 0o7777;
        Ok((path, mode))
    };
    files.into_iter().filter_map(|path| mode(path).ok()).filter(|(_, mode)| mode & OTHERS != 0).collect()
}

/// Warns of each of them.
pub fn warn_of_others(url: &DatabaseUrl) {
    for (path, mode) in open_to_others(url) {
        tracing::warn!(
            path = %path.display(),
            mode = format!("{mode:04o}"),
            "others on this machine may open the database: chmod go= it, unless that is on purpose"
        );
    }
}
