//! What the service needs of the machine: files that others may not open, room on the disk, file descriptors.

use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use super::finding::Finding;
use crate::{
    config::{Config, DatabaseUrl, PiiKeySource, TokenKeys, development_secret_file, secret_file},
    database::permissions,
};

const MIB: u64 = 1024 * 1024;
/// With less, the service may stop writing any moment.
const TOO_LITTLE: u64 = 100 * MIB;
/// With less, somebody should see to it.
const LITTLE: u64 = 1024 * MIB;

/// Who may open the files: those that hold secrets are refused by the service where others may.
pub(super) fn files(config: &Config) -> Vec<Finding> {
    const WHAT: &str = "files";
    let mut findings = Vec::new();
    for (path, mode) in permissions::open_to_others(&config.database_url) {
        let found = format!("{}: others on this machine may open it (mode {mode:04o})", path.display());
        findings.push(Finding::noticed(
            WHAT,
            found,
            format!("chmod go= {}, unless that is on purpose", path.display()),
        ));
    }
    for file in made(config).into_iter().filter(|file| file.exists()) {
        if let Err(error) = secret_file::read(&file) {
            findings.push(Finding::failed(WHAT, error.to_string(), format!("chmod 600 {}", file.display())));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::well(WHAT, "the database and the secrets are for their owner alone"));
    }
    findings
}

/// The files with secrets that the service makes; those that variables name were read with the configuration.
fn made(config: &Config) -> Vec<PathBuf> {
    let token_secret = (config.auth.keys == TokenKeys::Development).then(|| development_secret_file(&config.data_dir));
    let pii_keys = match &config.pii_keys {
        PiiKeySource::Embedded(file) => Some(file.clone()),
        PiiKeySource::Given(_) | PiiKeySource::NotConfigured => None,
    };
    token_secret.into_iter().chain(pii_keys).collect()
}

/// How much room there is where SQLite's file is. PostgreSQL's disk cannot be seen from here.
pub(super) fn disk(config: &Config) -> Option<Finding> {
    const WHAT: &str = "disk";
    let DatabaseUrl::Sqlite(file) = &config.database_url else { return None };
    let there = file.ancestors().skip(1).find(|directory| directory.is_dir()).unwrap_or(Path::new("."));
    let advice = "make room, or move the database: without room every write is answered 503";
    Some(match statvfs(there) {
        Err(error) => Finding::noticed(WHAT, format!("{}: {error}", there.display()), "look at the disk"),
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let found = format!("{} MiB are free in {}", free / MIB, there.display());
            match free {
                0..TOO_LITTLE => Finding::failed(WHAT, found, advice),
                TOO_LITTLE..LITTLE => Finding::noticed(WHAT, found, advice),
                _ => Finding::well(WHAT, found),
            }
        }
    })
}
