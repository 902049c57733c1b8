//! Files that hold a secret: made once, readable by their owner only.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Makes the file with what `secret` gives, unless it is there already.
///
/// It is written beside its place and linked into it: two processes that start together agree on one secret, and neither
/// reads half of it.
///
/// # Errors
/// A directory that cannot be made or written; the message names the file.
pub fn make_once(file: &Path, secret: impl FnOnce() -> io::Result<String>) -> io::Result<()> {
    make(file, secret).map_err(|error| about(file, &error.to_string()))
}

fn make(file: &Path, secret: impl FnOnce() -> io::Result<String>) -> io::Result<()> {
    if file.exists() {
        return Ok(());
    }
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut draft = OsString::from(file);
    draft.push(format!(".{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut output = options.open(&draft)?;
    writeln!(output, "{}", secret()?)?;
    output.sync_all()?;
    let linked = fs::hard_link(&draft, file);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Reads the file.
///
/// # Errors
/// A file that cannot be read; the message names it.
pub fn read(file: &Path) -> io::Result<String> {
    fs::read_to_string(file).map_err(|error| about(file, &error.to_string()))
}

/// An error about a file, by its name.
#[must_use]
pub fn about(file: &Path, what: &str) -> io::Error {
    io::Error::other(format!("{}: {what}", file.display()))
}
