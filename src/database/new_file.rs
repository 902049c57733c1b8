//! A SQLite file that is not there yet.
//!
//! It is made under another name, and gets its own once its schema is whole and on the disk. So a first start waits for the disk once, and
//! not at each statement; and whatever ends it, there is no database, or a whole one.

use std::{
    io,
    path::{Path, PathBuf},
};

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbErr};
use tempfile::TempPath;

use super::{
    connect,
    on_disk::{directory_of, remove, sync, with_sidecars},
};
use crate::config::beside;

/// The file under its other name, under which it is removed unless it is [kept](Self::keep). Whoever has one holds the lock on the schema.
pub(super) struct NewFile {
    draft: TempPath,
    place: PathBuf,
}

impl NewFile {
    /// What is to become the file at `place`; `None` where there is one, or a part of one: of that, SQLite knows what to make.
    pub(super) fn at(place: &Path) -> io::Result<Option<Self>> {
        if with_sidecars(place).iter().any(|file| file.symlink_metadata().is_ok()) {
            return Ok(None);
        }
        let draft = beside(place, ".new");
        // Of a process that was killed.
        remove(&with_sidecars(&draft))?;
        Ok(Some(Self { draft: TempPath::try_from_path(draft)?, place: place.to_owned() }))
    }

    /// Where it is to be.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// A connection to it that waits for no disk.
    pub(super) async fn session(&self) -> Result<DatabaseConnection, DbErr> {
        connect::sqlite_draft_session(&self.draft).await
    }

    /// Ends the last work on it.
    pub(super) async fn settle(session: &DatabaseConnection) -> Result<(), DbErr> {
        session.execute_unprepared("PRAGMA journal_mode = WAL").await.map(drop)
    }

    /// Gives it its name. All connections to it are closed.
    pub(super) fn keep(self) -> io::Result<()> {
        sync(&self.draft)?;
        self.draft.persist_noclobber(&self.place).map_err(|lost| lost.error)?;
        sync(directory_of(&self.place))
    }
}
