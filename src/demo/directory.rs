//! The directory of a demo's database, which is removed with it.
//!
//! A demo that is killed cannot remove it. What is left can be read by its owner only, and is without the keys, which were
//! in memory. The next demo removes it: a lock, which ends with the process, tells whether it is still used.

use std::{
    fs::{self, File, Permissions, TryLockError},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use rustix::process::geteuid;
use tempfile::{Builder, TempDir};

const PREFIX: &str = "crm-demo-";
/// How often a directory is made that another demo, which starts at the same moment, takes for one left behind.
const ATTEMPTS: usize = 3;

/// A new directory, in the system's one for temporary files. Removed when it is dropped.
#[derive(Debug)]
pub struct DemoDirectory {
    directory: TempDir,
    /// Held as long as the directory is used.
    _lock: File,
}

impl DemoDirectory {
    /// Makes the directory, after removing those that were left behind.
    ///
    /// # Errors
    /// A directory for temporary files that cannot be written.
    pub fn create() -> io::Result<Self> {
        let parent = std::env::temp_dir();
        remove_left_behind(&parent);
        for _ in 0..ATTEMPTS {
            let owner_only = Permissions::from_mode(0o700);
            let directory = Builder::new().prefix(PREFIX).permissions(owner_only).tempdir_in(&parent)?;
            let Ok(lock) = File::open(directory.path()) else { continue };
            // A file system without locks keeps other demos from taking it as well.
            let is_lost = matches!(lock.try_lock(), Err(TryLockError::WouldBlock));
            if !is_lost && directory.path().exists() {
                return Ok(Self { directory, _lock: lock });
            }
        }
        Err(io::Error::other("several demos start at once"))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Removes it. Somebody who tidies up temporary files may have done so before.
    ///
    /// # Errors
    /// A file in it that cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        match self.directory.close() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            closed => closed,
        }
    }
}

/// Removes the directories of demos that no longer run. What cannot be removed stays for the next one.
fn remove_left_behind(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.filter_map(Result::ok) {
        let is_named_so = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        // Not followed: a link is none of ours.
        let is_ours = || entry.metadata().is_ok_and(|made| made.is_dir() && made.uid() == geteuid().as_raw());
        if !is_named_so || !is_ours() {
            continue;
        }
        let Ok(lock) = File::open(entry.path()) else { continue };
        if lock.try_lock().is_ok() {
            let _left_for_the_next = fs::remove_dir_all(entry.path());
        }
    }
}
