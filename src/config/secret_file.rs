//! Files that hold a secret: made once, readable by their owner only.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use tempfile::Builder;
use zeroize::Zeroizing;

/// Makes the file with the result of `secret`, unless it exists.
///
/// It is written beside its place and then moved there, never over an existing file: two processes that start together
/// agree on one secret, and neither reads half of it.
///
/// # Errors
/// A directory that cannot be made or written, or an error of `secret`; the message names the file.
pub fn make_once(file: &Path, secret: impl FnOnce() -> io::Result<Zeroizing<String>>) -> io::Result<()> {
    make(file, secret).map_err(|error| about(file, &error.to_string()))
}

fn make(file: &Path, secret: impl FnOnce() -> io::Result<Zeroizing<String>>) -> io::Result<()> {
    if file.exists() {
        return Ok(());
    }
    let directory = file.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(directory)?;
    let mut prefix = OsString::from(file.file_name().unwrap_or_default());
    prefix.push(".");
    // On Unix the library makes it with mode 0600.
    let mut draft = Builder::new().prefix(&prefix).tempfile_in(directory)?;
    writeln!(draft, "{}", secret()?.as_str())?;
    draft.as_file().sync_all()?;
    match draft.persist_noclobber(file) {
        Err(lost) if lost.error.kind() != io::ErrorKind::AlreadyExists => Err(lost.error),
        _ => Ok(()),
    }
}

/// What others may do with a file that holds a secret: nothing. The group may read, because that is how an orchestrator gives
/// a file to one user and one service.
const OTHERS: u32 = 0o027;

/// The largest file that is read: far larger than any secret.
const LARGEST: u64 = 1024 * 1024;

/// Reads the file.
///
/// # Errors
/// A file that cannot be read, that is no file of text, or that others may read or write; the message names it.
pub fn read(file: &Path) -> io::Result<Zeroizing<String>> {
    let mode = |metadata: &fs::Metadata| metadata.permissions().mode() & 0o777;
    let refused = |mode: u32| mode & OTHERS != 0;
    match fs::metadata(file) {
        Err(error) => return Err(about(file, &error.to_string())),
        Ok(metadata) if !metadata.is_file() => return Err(about(file, "is not a file")),
        Ok(metadata) if metadata.len() > LARGEST => return Err(about(file, "is too large")),
        Ok(metadata) if refused(mode(&metadata)) => {
            let mode = mode(&metadata);
            let message =
                format!("has the mode {mode:04o}: secrets that others may read or write are refused (chmod 600)");
            return Err(about(file, &message));
        }
        Ok(_) => {}
    }
    fs::read_to_string(file).map(Zeroizing::new).map_err(|error| about(file, &error.to_string()))
}

/// An error about a file, with the file's name.
#[must_use]
pub fn about(file: &Path, message: &str) -> io::Error {
    io::Error::other(format!("{}: {message}", file.display()))
}
