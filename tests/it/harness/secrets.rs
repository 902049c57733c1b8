//! Files that hold a secret.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// Writes a file that only its owner may read.
pub fn write_secret(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}
