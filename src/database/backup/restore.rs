//! Bringing a backup back.
//!
//! The database is written beside its place, verified there, and moved into place in one step: whatever happens meanwhile, what has
//! its name is the old one or the new one, and whole. One that is in use is not replaced, and none is without being kept.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use sea_orm::sqlx::{Connection as _, Error, SqliteConnection, raw_sql};

use super::{
    check,
    error::BackupError,
    files::{ensure_room, move_to_new, sync},
    manifest::{self, Digester, Manifest},
};
use crate::{
    config::beside,
    database::on_disk::{directory_of, remove, with_sidecars},
    values::Clock,
};

/// A backup that is being restored. What was written is removed where it is not finished.
pub struct Restore {
    /// What the backup says of itself.
    pub manifest: Manifest,
    backup: PathBuf,
    place: PathBuf,
    partial: PathBuf,
    /// Locked as long as it is written.
    file: File,
    is_done: bool,
}

impl Drop for Restore {
    fn drop(&mut self) {
        if !self.is_done {
            let _gone = remove(&with_sidecars(&self.partial));
        }
    }
}

impl Restore {
    /// Copies the backup's database beside `place`, and compares it with what the backup says of itself; `progress` is told how many
    /// bytes of how many.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub async fn begin(
        backup: &Path,
        place: &Path,
        may_replace: bool,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Self, BackupError> {
        let manifest = Manifest::read(backup)?;
        look_at(place, may_replace)?;
        let directory = directory_of(place);
        fs::create_dir_all(directory).map_err(BackupError::file(directory))?;
        let partial = beside(place, ".restoring");
        let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(&partial);
        let file = file.map_err(BackupError::file(&partial))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(BackupError::UnderWay(partial));
        }
        // What an interrupted process left must not be taken for its log.
        let [_, sidecars @ ..] = with_sidecars(&partial);
        remove(&sidecars).and_then(|()| file.set_len(0)).map_err(BackupError::file(&partial))?;
        let restore =
            Self { manifest, backup: backup.to_owned(), place: place.to_owned(), partial, file, is_done: false };
        ensure_room(&restore.partial, restore.manifest.bytes)?;
        restore.copy(progress).await?;
        Ok(restore)
    }

    async fn copy(&self, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<(), BackupError> {
        let source = manifest::database(&self.backup);
        let mut digester = Digester::open(&source).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BackupError::Damaged(self.backup.clone(), "its database is gone".to_owned()),
            _ => BackupError::File(source.clone(), error),
        })?;
        let (mut file, mut copied) = (&self.file, 0);
        loop {
            let piece = digester.next().map_err(BackupError::file(&source))?;
            if piece.is_empty() {
                break;
            }
            copied += piece.len() as u64;
            file.write_all(piece).map_err(BackupError::file(&self.partial))?;
            progress(copied, self.manifest.bytes);
            tokio::task::yield_now().await;
        }
        file.sync_all().map_err(BackupError::file(&self.partial))?;
        self.manifest.compare(&self.backup, &digester.finish())
    }

    /// The copy, beside its place.
    #[must_use]
    pub fn database(&self) -> &Path {
        &self.partial
    }

    /// Fails unless each table has the rows that it had.
    ///
    /// # Errors
    /// A table that does not, or a fault.
    pub async fn compare_rows(&self) -> Result<(), BackupError> {
        let (schema, rows) = check::contents(&self.partial).await?;
        if schema == self.manifest.schema && rows == self.manifest.rows {
            return Ok(());
        }
        let differs = |(table, count): &(&String, &u64)| self.manifest.rows.get(*table) != Some(*count);
        let what = match rows.iter().find(differs) {
            Some((table, count)) => {
                let had = self.manifest.rows.get(table).map_or("none".to_owned(), u64::to_string);
                format!("{table} has {count} rows, and had {had}")
            }
            None => format!("its schema is {schema}, and was {}", self.manifest.schema),
        };
        Err(BackupError::Damaged(self.backup.clone(), what))
    }

    /// Moves the copy into its place, once it is verified. Returns where the one that it replaces is kept, if there was one.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub async fn finish(mut self) -> Result<Option<PathBuf>, BackupError> {
        // Whoever verified it may have left a log, with nothing in it that is not in the file.
        check::settle(&self.partial).await?;
        sync(&self.partial)?;
        if !self.place.exists() {
            look_at(&self.place, false)?;
            move_to_new(&self.partial, &self.place)?;
            self.is_done = true;
            return Ok(None);
        }
        let old = exclusive(&self.place).await?;
        let time = Clock::System.now().0.format("%Y%m%dT%H%M%SZ");
        let kept = beside(&self.place, &format!(".replaced-{time}"));
        fs::hard_link(&self.place, &kept).map_err(BackupError::file(&kept))?;
        fs::rename(&self.partial, &self.place).map_err(BackupError::file(&self.place))?;
        self.is_done = true;
        sync(directory_of(&self.place))?;
        old.close().await.map_err(BackupError::database(&kept))?;
        Ok(Some(kept))
    }
}

/// Refuses what must not be replaced: a database, unless that is wanted, and files of one that is gone.
fn look_at(place: &Path, may_replace: bool) -> Result<(), BackupError> {
    let [database, sidecars @ ..] = with_sidecars(place);
    match database.symlink_metadata() {
        Ok(found) if found.is_dir() => {
            Err(BackupError::InTheWay(database, "is a directory, and no database".to_owned()))
        }
        Ok(_) if !may_replace => {
            let what =
                "there is a database already; --replace keeps it under another name and puts the backup in its place";
            Err(BackupError::InTheWay(database, what.to_owned()))
        }
        Ok(_) => Ok(()),
        Err(_) => match sidecars.into_iter().find(|sidecar| sidecar.exists()) {
            Some(sidecar) => {
                let what =
                    "belongs to a database that is gone, and would be taken for the restored one's: move it away";
                Err(BackupError::InTheWay(sidecar, what.to_owned()))
            }
            None => Ok(()),
        },
    }
}

/// A connection that nobody else has one beside: as long as it is open, nobody gets to work on the file.
async fn exclusive(file: &Path) -> Result<SqliteConnection, BackupError> {
    let taken = async {
        let mut connection = check::without_log(file).await?;
        raw_sql("BEGIN EXCLUSIVE").execute(&mut connection).await?;
        Ok::<_, Error>(connection)
    };
    taken.await.map_err(|error: Error| match error.to_string() {
        text if text.contains("locked") => BackupError::InUse(file.to_owned()),
        text => {
            let what =
                format!("what is there is no database that can be kept ({text}): move it away, with what is beside it");
            BackupError::InTheWay(file.to_owned(), what)
        }
    })
}
