//! Where the keys that verify tokens come from.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use super::{
    client::Away,
    development::development_secret,
    key_set::KeySet,
    remote_keys::{Origin, RemoteKeys, report},
};
use crate::{
    config::{Config, TokenKeys, secret_file::about},
    telemetry::metrics::Metrics,
    values::{Clock, Stopwatch},
};

/// The largest file of keys, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Where keys come from.
pub(super) enum KeySource {
    /// The configuration: they stay the same.
    Fixed(Arc<KeySet>),
    /// A file, read again when it changes.
    File(Box<KeyFile>),
    /// The platform.
    Remote(Arc<RemoteKeys>),
}

impl KeySource {
    /// The configured source; none where the platform is asked about each token.
    ///
    /// # Errors
    /// A file that cannot be read or holds a key that cannot be used.
    pub(super) fn new(config: &Config, clock: &Clock, metrics: &Arc<Metrics>) -> io::Result<Option<Self>> {
        let remote =
            |origin| RemoteKeys::new(origin, &config.auth.access, clock.clone(), Arc::clone(metrics)).map(Self::Remote);
        let fixed = |keys| Self::Fixed(Arc::new(keys));
        Ok(Some(match &config.auth.keys {
            TokenKeys::None => return Ok(None),
            TokenKeys::Secret(secret) => fixed(KeySet::of_secret(secret.reveal().as_bytes())),
            TokenKeys::Development => {
                fixed(KeySet::of_secret(development_secret(&config.data_dir)?.reveal().as_bytes()))
            }
            TokenKeys::PublicKeyFile(file) => {
                let (_, pem) = read(file)?;
                fixed(KeySet::from_pem(&pem).map_err(|why| about(file, &why))?)
            }
            TokenKeys::JwksFile(file) => {
                Self::File(Box::new(KeyFile::open(file, clock.clone(), config.auth.access.cooldown)?))
            }
            TokenKeys::JwksUrl(url) => remote(Origin::Url(url.clone()))?,
            TokenKeys::Issuer(issuer) => remote(Origin::Issuer(issuer.clone()))?,
        }))
    }

    /// The keys.
    ///
    /// # Errors
    /// The platform is away, and was for longer than what it said last may be used.
    pub(super) async fn keys(&self) -> Result<Arc<KeySet>, Away> {
        match self {
            Self::Fixed(keys) => Ok(Arc::clone(keys)),
            Self::File(file) => Ok(file.keys()),
            Self::Remote(remote) => remote.keys().await,
        }
    }

    /// The keys as they are now, for a token whose key was not among them.
    ///
    /// # Errors
    /// The platform is away.
    pub(super) async fn look_again(&self) -> Result<Arc<KeySet>, Away> {
        match self {
            Self::Fixed(keys) => Ok(Arc::clone(keys)),
            Self::File(file) => {
                // A file that is damaged just now has not lost its former keys.
                let _reported = file.look();
                Ok(file.keys())
            }
            Self::Remote(remote) => remote.look_again().await,
        }
    }

    /// Looking again found the key.
    pub(super) fn found(&self) {
        if let Self::Remote(remote) = self {
            remote.found();
        }
    }

    /// Fetches or reads the keys where that is due.
    ///
    /// # Errors
    /// They cannot be had; the former ones are kept.
    pub(super) async fn keep_fresh(&self) -> Result<(), Away> {
        match self {
            Self::Fixed(_) => Ok(()),
            Self::File(file) => file.look().map_err(|error| Away(error.to_string())),
            Self::Remote(remote) => remote.keep_fresh().await,
        }
    }

    /// How many keys there are, and how long ago they were fetched; `None` where they never were.
    pub(super) fn age(&self) -> Option<(usize, Duration)> {
        match self {
            Self::Fixed(keys) => Some((keys.len(), Duration::ZERO)),
            Self::File(file) => Some((file.keys().len(), Duration::ZERO)),
            Self::Remote(remote) => remote.age(),
        }
    }
}

/// A file with a JSON Web Key Set.
pub(super) struct KeyFile {
    path: PathBuf,
    clock: Clock,
    /// How long a file that could not be used is not read again, unless it changes.
    cooldown: Duration,
    state: Mutex<FileState>,
}

struct FileState {
    /// The keys, and the version of the file that they are of.
    version: Version,
    keys: Arc<KeySet>,
    /// The version that could not be used, when that was seen, and why.
    damaged: Option<(Version, Stopwatch, String)>,
}

/// What changes when a file does: also when it is replaced by another, as an orchestrator does.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    modified: Option<SystemTime>,
    /// Of its rights, too.
    changed: (i64, i64),
    length: u64,
    inode: u64,
}

impl KeyFile {
    fn open(path: &Path, clock: Clock, cooldown: Duration) -> io::Result<Self> {
        let (version, keys, skipped) = read_jwks(path)?;
        report(&keys, &skipped);
        if keys.len() == 0 {
            let why = skipped.into_iter().next().unwrap_or("holds no key".to_owned());
            return Err(about(path, &format!("holds no usable key: {why}")));
        }
        let state = Mutex::new(FileState { version, keys: Arc::new(keys), damaged: None });
        Ok(Self { path: path.to_owned(), clock, cooldown, state })
    }

    fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.state().keys)
    }

    /// Reads the file again if it has changed: anybody may send a token that makes it look, so that one which is damaged is
    /// read but once in the cool-down.
    fn look(&self) -> io::Result<()> {
        let metadata = fs::metadata(&self.path).map_err(|error| about(&self.path, &error.to_string()))?;
        let seen = Version::of(&metadata);
        let mut state = self.state();
        if state.version == seen {
            return Ok(());
        }
        if let Some((version, since, why)) = &state.damaged
            && *version == seen
            && since.elapsed() < self.cooldown
        {
            return Err(io::Error::other(why.clone()));
        }
        match read_jwks(&self.path) {
            Ok((version, keys, skipped)) => {
                if !state.keys.is_same(&keys) {
                    report(&keys, &skipped);
                }
                *state = FileState { version, keys: Arc::new(keys), damaged: None };
                Ok(())
            }
            Err(error) => {
                state.damaged = Some((seen, self.clock.stopwatch(), error.to_string()));
                Err(error)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, FileState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Version {
    fn of(metadata: &fs::Metadata) -> Self {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Self { modified: metadata.modified().ok(), changed, length: metadata.len(), inode: metadata.ino() }
    }
}

fn read_jwks(path: &Path) -> io::Result<(Version, KeySet, Vec<String>)> {
    let (version, text) = read(path)?;
    let (keys, skipped) = KeySet::from_jwks(&text).map_err(|why| about(path, &why))?;
    Ok((version, keys, skipped))
}

/// Reads a file of public keys. Anybody may read them; whoever may write them decides which tokens are valid.
fn read(path: &Path) -> io::Result<(Version, Vec<u8>)> {
    let metadata = fs::metadata(path).map_err(|error| about(path, &error.to_string()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o002 != 0 {
        return Err(about(path, &format!("has the mode {mode:04o}: keys that others may write are refused")));
    }
    if metadata.len() > MAX_FILE {
        return Err(about(path, "is too large to be a file of keys"));
    }
    let text = fs::read(path).map_err(|error| about(path, &error.to_string()))?;
    Ok((Version::of(&metadata), text))
}
