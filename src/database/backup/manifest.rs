//! What a backup says of itself: `backup.json`.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::BackupError;

/// The files of a backup.
const DATABASE: &str = "crm.db";
const MANIFEST: &str = "backup.json";
/// The form of the manifest.
const FORMAT: u32 = 1;
/// How much of a file is read at once, in bytes.
pub(super) const CHUNK: usize = 1024 * 1024;
/// How large a manifest may be: far larger than any is.
const LARGEST: u64 = 64 * 1024 * 1024;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The form of this document.
    format: u32,
    /// The release that made it.
    pub release: String,
    /// When it was begun: every change that was acknowledged before is in it.
    pub begun_at: String,
    /// The last migration that the database has.
    pub schema: String,
    /// The size of the database, in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// The ids of the keys that personal data in it is sealed with. The keys themselves are not here.
    pub keys: Vec<String>,
    /// How many rows each table has.
    pub rows: BTreeMap<String, u64>,
    /// The ends of the tenants' audit chains, where they were verified.
    pub heads: Vec<Head>,
}

/// The end of a tenant's audit chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The tenant.
    pub tenant: String,
    /// The number of its last entry.
    pub number: i64,
    /// The hash of it.
    pub hash: String,
}

/// What the manifest says of the file itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digested {
    pub bytes: u64,
    pub sha256: String,
}

/// Where a backup's database is.
pub(super) fn database(directory: &Path) -> PathBuf {
    directory.join(DATABASE)
}

impl Manifest {
    /// What is said of a database that is in the backup from now on.
    pub(super) fn of(
        begun_at: String,
        (schema, rows): (String, BTreeMap<String, u64>),
        digested: Digested,
        (keys, heads): (Vec<String>, Vec<Head>),
    ) -> Self {
        let Digested { bytes, sha256 } = digested;
        let release = crate::values::build::VERSION.to_owned();
        Self { format: FORMAT, release, begun_at, schema, bytes, sha256, keys, rows, heads }
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), BackupError> {
        let path = directory.join(MANIFEST);
        let write = || -> io::Result<()> {
            let mut file = File::create_new(&path)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()
        };
        write().map_err(BackupError::file(&path))
    }

    /// What a backup says of itself.
    ///
    /// # Errors
    /// A directory that is no whole backup, in words.
    pub fn read(directory: &Path) -> Result<Self, BackupError> {
        let damaged = |what: String| BackupError::Damaged(directory.to_owned(), what);
        let path = directory.join(MANIFEST);
        let text = match fs::metadata(&path) {
            Ok(found) if found.len() > LARGEST => return Err(damaged(format!("{MANIFEST} is too large"))),
            Ok(_) => fs::read(&path).map_err(BackupError::file(&path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && directory.is_dir() => {
                return Err(damaged(format!("it has no {MANIFEST}: it is none, or was not completed")));
            }
            Err(error) => return Err(BackupError::File(directory.to_owned(), error)),
        };
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|error| damaged(format!("{MANIFEST} is not as it must be: {error}")))?;
        if manifest.format != FORMAT {
            return Err(damaged(format!("{MANIFEST} has the form {}, of another release", manifest.format)));
        }
        Ok(manifest)
    }

    /// Whether a file is the one that was backed up.
    pub(super) fn compare(&self, directory: &Path, found: &Digested) -> Result<(), BackupError> {
        let damaged = |what: String| Err(BackupError::Damaged(directory.to_owned(), what));
        if found.bytes != self.bytes {
            return damaged(format!("{DATABASE} has {} bytes, and had {}", found.bytes, self.bytes));
        }
        if found.sha256 != self.sha256 {
            return damaged(format!(
                "{DATABASE} was changed: its SHA-256 is {}, and was {}",
                found.sha256, self.sha256
            ));
        }
        Ok(())
    }
}

/// Reads a file from its beginning to its end, in pieces, and hashes it; each piece goes to `piece` too.
pub(super) struct Digester {
    file: File,
    hash: Sha256,
    bytes: u64,
    buffer: Vec<u8>,
}

impl Digester {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, hash: Sha256::new(), bytes: 0, buffer: vec![0; CHUNK] })
    }

    /// The next piece; an empty one is the end.
    pub fn next(&mut self) -> io::Result<&[u8]> {
        let read = self.file.read(&mut self.buffer)?;
        let piece = self.buffer.get(..read).unwrap_or_default();
        self.hash.update(piece);
        self.bytes += read as u64;
        Ok(piece)
    }

    pub fn finish(self) -> Digested {
        let sha256 = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Digested { bytes: self.bytes, sha256 }
    }
}
