//! Taking a backup.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::SecondsFormat;
use sea_orm::sqlx::{self, Connection as _, Row as _, SqliteConnection, query, raw_sql};

use super::{
    check,
    error::BackupError,
    files::{ensure_room, move_to_new, sync},
    manifest::{self, Digester, Head, Manifest},
};
use crate::{config::beside, database::on_disk::directory_of, values::Clock};

/// How often it is looked how far the copy is.
const LOOK: Duration = Duration::from_millis(200);

/// A backup that is being taken. What was written of it is removed where it is not finished.
pub struct Draft {
    /// The backup's place, and where it is written.
    place: PathBuf,
    partial: PathBuf,
    begun_at: String,
    /// Held as long as it is written.
    _lock: File,
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Once it is finished, it is not there any more.
        let _gone = fs::remove_dir_all(&self.partial);
    }
}

impl Draft {
    /// Copies the database as it is now to where the backup is written; `progress` is told how many bytes of how many.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub async fn take(
        database: &Path,
        place: &Path,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Self, BackupError> {
        if !database.is_file() {
            return Err(BackupError::Missing(database.to_owned()));
        }
        let draft = Self::begin(place)?;
        let file = draft.database();
        let source = BackupError::database(database);
        let mut connection = check::reader(database).await.map_err(source)?;
        let size = size(&mut connection).await.map_err(BackupError::database(database))?;
        ensure_room(&file, size)?;
        let into = file
            .to_str()
            .ok_or_else(|| BackupError::File(file.clone(), io::Error::other("the name of the directory is no text")))?;
        copy(&mut connection, into, &|| progress(file.metadata().map_or(0, |found| found.len()), size)).await?;
        connection.close().await.map_err(BackupError::database(database))?;
        Ok(draft)
    }

    /// Makes the directory that the backup is written in, in place of one that an interrupted process left.
    fn begin(place: &Path) -> Result<Self, BackupError> {
        // Not followed: a link that leads nowhere is in the way, too.
        if place.symlink_metadata().is_ok() {
            return Err(BackupError::Exists(place.to_owned()));
        }
        let partial = beside(place, ".partial");
        let directory = directory_of(place);
        fs::create_dir_all(directory).map_err(BackupError::file(directory))?;
        let make = || DirBuilder::new().mode(0o700).create(&partial);
        match make() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                drop(lock(&partial)?);
                fs::remove_dir_all(&partial).and_then(|()| make()).map_err(BackupError::file(&partial))?;
            }
            made => made.map_err(BackupError::file(&partial))?,
        }
        let lock = lock(&partial)?;
        Ok(Self { place: place.to_owned(), partial, begun_at: now(), _lock: lock })
    }

    /// The copy.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        manifest::database(&self.partial)
    }

    /// Completes the backup, once it is verified, with the keys that it needs and the heads of its audit chains, and moves it to
    /// its place.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub async fn finish(self, keys: Vec<String>, heads: Vec<Head>) -> Result<Manifest, BackupError> {
        let file = self.database();
        check::settle(&file).await?;
        let contents = check::contents(&file).await?;
        let mut digester = Digester::open(&file).map_err(BackupError::file(&file))?;
        while !digester.next().map_err(BackupError::file(&file))?.is_empty() {
            tokio::task::yield_now().await;
        }
        let manifest = Manifest::of(self.begun_at.clone(), contents, digester.finish(), (keys, heads));
        sync(&file)?;
        manifest.write(&self.partial)?;
        sync(&self.partial)?;
        move_to_new(&self.partial, &self.place)?;
        Ok(manifest)
    }
}

/// Copies all that a connection sees into a file; in between it is time to `look` how far it is.
async fn copy(connection: &mut SqliteConnection, into: &str, look: &(dyn Fn() + Sync)) -> Result<(), BackupError> {
    let copying = query("VACUUM INTO $1").bind(into).execute(connection);
    tokio::pin!(copying);
    loop {
        tokio::select! {
            copied = &mut copying => return copied.map(drop).map_err(BackupError::database(into)),
            () = tokio::time::sleep(LOOK) => look(),
        }
    }
}

/// How many bytes the copy is going to have, at most.
async fn size(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let sql = "SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)";
    let size: i64 = raw_sql(sql).fetch_one(connection).await?.try_get(0)?;
    Ok(size.unsigned_abs())
}

/// Locks a directory that a backup is written in.
fn lock(partial: &Path) -> Result<File, BackupError> {
    let directory = File::open(partial).map_err(BackupError::file(partial))?;
    match directory.try_lock() {
        Err(TryLockError::WouldBlock) => Err(BackupError::UnderWay(partial.to_owned())),
        // A file system without locks has no other process's to respect.
        _ => Ok(directory),
    }
}

/// The time, as the manifest has it.
fn now() -> String {
    Clock::System.now().0.to_rfc3339_opts(SecondsFormat::Millis, true)
}
