//! Looking after the file: whether it is in place, whether it can be read and written again, and that the write-ahead log
//! does not grow for ever.

use sea_orm::{DbBackend, DbErr, Statement};
use tokio::time::Instant;

use super::{DISK, IDLE, LOCKED, Writer, refuse};
use crate::{
    database::{
        fault::{self, Fault, failed},
        file::{self, GONE, Place},
        steps::Steps,
    },
    error::ApiError,
};

impl Writer {
    pub(super) async fn tick(&mut self) {
        self.health.writer_is_busy(true);
        match self.file.look() {
            Place::Intact if self.health.reads_are_suspect() => match self.keeper.look().await {
                Ok(()) => self.health.reads_work(),
                Err(error) => {
                    tracing::debug!(%error, "the database cannot be read");
                    self.health.reads_fail("rows cannot be read");
                }
            },
            Place::Intact => {}
            Place::BesideDeleted | Place::Lost => self.health.reads_fail(GONE),
        }
        if self.failing || self.health.writes_are_suspect() {
            self.try_again().await;
        }
        self.idle = self.idle.map(|ticks| ticks + 1);
        if self.idle == Some(IDLE) {
            self.idle = None;
            self.checkpoint().await;
        }
        self.health.writer_is_busy(false);
    }

    pub(super) async fn fails(&mut self, error: &ApiError) {
        tracing::error!(cause = error.cause(), "a transaction failed");
        // Where it could not even be begun, they waited for it.
        for job in std::mem::take(&mut self.waiting) {
            refuse(job, "a transaction cannot be begun").await;
        }
        self.failing = true;
        self.try_again().await;
    }

    /// Makes a trial commit; while it fails, so do all changes.
    async fn try_again(&mut self) {
        let tried = match self.file.look() {
            Place::Intact => self.open_and_try().await,
            Place::BesideDeleted => match self.rescue().await {
                Ok(()) => self.open_and_try().await,
                Err(error) => Err(error),
            },
            Place::Lost => Err(failed(file::gone())),
        };
        let Err(error) = tried else {
            self.failing = false;
            return self.health.trial_works();
        };
        tracing::debug!(%error, "the database cannot be written");
        let busy = fault::cause(&error).is_some_and(|error| Fault::of(error) == Fault::Contention);
        self.health.writes_fail(match busy {
            true => LOCKED,
            false if self.file.is_in_place() => "changes cannot be committed",
            false => GONE,
        });
        if fault::is_read_only(&error) {
            // In a process that found its file system read-only SQLite keeps to that for as long as a connection is open.
            self.readers.close_idle().await;
            self.keeper.close().await;
        }
    }

    async fn open_and_try(&mut self) -> Result<(), DbErr> {
        self.keeper.open().await?;
        self.trial().await
    }

    /// The write-ahead log or the locks were deleted, and this process still has them open: what is in the log is moved into
    /// the database file before they are closed. Others must not be let in before all of them are.
    async fn rescue(&mut self) -> Result<(), DbErr> {
        self.move_log().await?;
        self.pool.close_idle().await;
        self.readers.close_idle().await;
        self.keeper.close().await;
        if self.file.connections() > 0 {
            return Err(DbErr::Custom("the old files are still being read".to_owned()));
        }
        tracing::warn!("files beside the database were deleted: what they held is saved, and they are made anew");
        Ok(())
    }

    /// Moves the whole write-ahead log into the database file.
    pub(super) async fn move_log(&self) -> Result<(), DbErr> {
        if self.file.connections() == 0 {
            return Ok(());
        }
        let until = Instant::now() + DISK;
        let rows = self.pool.get(until).await?.query(&pragma("wal_checkpoint(TRUNCATE)"), until).await?;
        match rows.first().map(|row| row.try_get_by_index::<i32>(0)).transpose()? {
            Some(0) => self.file.know_written().map_err(failed),
            _ => Err(DbErr::Custom("readers are in the way of the write-ahead log".to_owned())),
        }
    }

    /// Commits something that means nothing: the number that SQLite keeps for the application.
    async fn trial(&self) -> Result<(), DbErr> {
        let until = Instant::now() + DISK;
        let mut connection = self.pool.get(until).await?;
        connection.begin("BEGIN IMMEDIATE", until, &Steps::default()).await?;
        let number = connection.query(&pragma("user_version"), until).await?;
        let number = number.first().map(|row| row.try_get_by_index::<i32>(0)).transpose()?.unwrap_or_default();
        connection.execute_text(&format!("PRAGMA user_version = {}", number.wrapping_add(1)), until).await?;
        connection.commit("COMMIT", until, &Steps::default()).await
    }

    /// Moves the write-ahead log into the database file, so that it does not grow for ever. Readers may be in its way, so
    /// that it moves only in part; any error is a fault: the connection is in a state that it must not be in.
    pub(super) async fn checkpoint(&mut self) {
        let outcome = async {
            let mut connection = self.connection().await?;
            let moved = connection.query(&pragma("wal_checkpoint(TRUNCATE)"), Instant::now() + DISK).await;
            if moved.is_err() {
                connection.hang_up();
            }
            moved.map(drop).map_err(ApiError::from)
        };
        if let Err(error) = outcome.await {
            self.fails(&error).await;
        }
    }
}

fn pragma(name: &str) -> Statement {
    Statement::from_string(DbBackend::Sqlite, format!("PRAGMA {name}"))
}
