//! Looking after the file: whether it is in place, whether it can be read and written again, and that the write-ahead log
//! does not grow for ever.

use std::{sync::Arc, time::Duration};

use sea_orm::{DbBackend, DbErr, Statement};
use tokio::time::Instant;

use super::{DISK_TIMEOUT, LOCKED};
use crate::{
    database::{
        connect::BUSY_TIMEOUT,
        fault::{Fault, db_error, driver_error, is_read_only},
        file::{DatabaseFile, FileState, NOT_IN_PLACE, not_in_place},
        health::Health,
        party::Party,
        pool::{Pool, PooledConnection},
        statistics::OPTIMIZE,
        steps::Steps,
        wal_guard::WalGuard,
    },
    error::{Error, Result},
};

/// After how many ticks without work the write-ahead log is moved into the database file.
const IDLE_TICKS: u32 = 10;

/// How often statistics of the tables are looked after, where there is no work for a while.
const OPTIMIZE_IDLE: Duration = Duration::from_secs(2 * 60 * 60);
/// How often where there always is some.
const OPTIMIZE_BUSY: Duration = Duration::from_secs(6 * 60 * 60);
/// The database file with all its connections, and what is wrong with them.
pub(super) struct Maintenance {
    pool: Pool,
    readers: Pool,
    file: Arc<DatabaseFile>,
    wal_guard: WalGuard,
    health: Arc<Health>,
    /// The last transaction failed: only trial commits are made.
    writes_fail: bool,
    /// For how many ticks there was no work, since there was some.
    idle: Option<u32>,
    /// When the statistics were last looked after, since the start.
    optimized: Option<Instant>,
}

impl Maintenance {
    /// `pool` holds the one connection that writes, `readers` those that read.
    pub(super) fn new(
        pool: Pool,
        readers: Pool,
        file: Arc<DatabaseFile>,
        wal_guard: WalGuard,
        health: Arc<Health>,
    ) -> Self {
        Self { pool, readers, file, wal_guard, health, writes_fail: false, idle: None, optimized: None }
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    pub(super) fn file(&self) -> &DatabaseFile {
        &self.file
    }

    /// The connection that writes.
    pub(super) async fn connection(&self) -> Result<PooledConnection> {
        Ok(self.pool.get(&Party::Service, Instant::now() + DISK_TIMEOUT).await?)
    }

    /// Whether the last commit failed.
    pub(super) fn writes_fail(&self) -> bool {
        self.writes_fail
    }

    /// Something is about to be written to the write-ahead log.
    pub(super) fn log_grows(&mut self) {
        self.idle = Some(0);
    }

    /// Checks reads and writes, and moves the write-ahead log once nothing has been written for a while.
    ///
    /// # Errors
    /// A write-ahead log that cannot be moved.
    pub(super) async fn tick(&mut self) -> Result<()> {
        match self.file.check() {
            FileState::InPlace if self.health.reads_are_suspect() => match self.wal_guard.check_readable().await {
                Ok(()) => self.health.reads_work(),
                Err(error) => {
                    tracing::debug!(%error, "the database cannot be read");
                    self.health.reads_fail("rows cannot be read");
                }
            },
            FileState::InPlace => {}
            FileState::SidecarsDeleted | FileState::Lost => self.health.reads_fail(NOT_IN_PLACE),
        }
        if self.writes_fail || self.health.writes_are_suspect() {
            self.try_again().await;
        }
        self.idle = self.idle.map(|ticks| ticks + 1);
        let is_idle = self.idle == Some(IDLE_TICKS);
        if !self.writes_fail {
            self.look_after_statistics(is_idle).await;
        }
        if is_idle {
            self.idle = None;
            self.empty_log(BUSY_TIMEOUT).await?;
        }
        Ok(())
    }

    /// Has the planner's statistics made anew where that is due. Connections that read have read them when they were opened.
    async fn look_after_statistics(&mut self, is_idle: bool) {
        let after = if is_idle { OPTIMIZE_IDLE } else { OPTIMIZE_BUSY };
        let is_due = match self.optimized {
            Some(last) => last.elapsed() >= after,
            None => is_idle,
        };
        if !is_due {
            return;
        }
        self.optimized = Some(Instant::now());
        let optimized = async {
            let mut connection = self.connection().await?;
            Ok::<_, Error>(connection.execute_text(OPTIMIZE, Instant::now() + DISK_TIMEOUT).await?)
        };
        match optimized.await {
            Ok(_) => self.readers.close_idle().await,
            Err(error) => tracing::debug!(cause = error.cause(), "the statistics of the tables stay as they are"),
        }
    }

    /// A transaction failed: from now on only trial commits are made, until one succeeds.
    pub(super) async fn commit_failed(&mut self) {
        self.writes_fail = true;
        self.try_again().await;
    }

    /// Moves what the write-ahead log holds into the database file, before everything is closed.
    ///
    /// # Errors
    /// A write-ahead log that cannot be moved.
    pub(super) async fn flush(&mut self) -> Result<()> {
        match self.file.check() {
            FileState::InPlace => drop(self.empty_log(BUSY_TIMEOUT).await?),
            FileState::SidecarsDeleted => {
                if let Err(error) = self.move_log().await {
                    tracing::error!(%error, "files beside the database were deleted, and what they held is lost");
                }
            }
            FileState::Lost => {}
        }
        Ok(())
    }

    /// Closes the connections, except those that read.
    pub(super) async fn close(&mut self) {
        self.pool.close().await;
        self.wal_guard.close().await;
    }

    /// Makes a trial commit; while it fails, so do all changes.
    async fn try_again(&mut self) {
        let tried = match self.file.check() {
            FileState::InPlace => self.open_and_try().await,
            FileState::SidecarsDeleted => match self.rescue().await {
                Ok(()) => self.open_and_try().await,
                Err(error) => Err(error),
            },
            FileState::Lost => Err(db_error(not_in_place())),
        };
        let Err(error) = tried else {
            self.writes_fail = false;
            return self.health.trial_succeeded();
        };
        tracing::debug!(%error, "the database cannot be written");
        let is_locked = driver_error(&error).is_some_and(|error| Fault::of(error) == Fault::Contention);
        self.health.writes_fail(match is_locked {
            true => LOCKED,
            false if self.file.is_in_place() => "changes cannot be committed",
            false => NOT_IN_PLACE,
        });
        if is_read_only(&error) && self.file.log_opens() {
            // In a process that found its file system read-only SQLite keeps to that for as long as a connection is open. Before
            // it can be written again they stay: others could not be opened.
            self.readers.close_idle().await;
            self.wal_guard.close().await;
        }
    }

    async fn open_and_try(&mut self) -> std::result::Result<(), DbErr> {
        self.wal_guard.open().await?;
        self.trial_commit().await
    }

    /// The write-ahead log or the locks were deleted, and this process still has them open: what is in the log is moved into
    /// the database file before they are closed. Others must not be let in before all of them are.
    async fn rescue(&mut self) -> std::result::Result<(), DbErr> {
        self.move_log().await?;
        self.pool.close_idle().await;
        self.readers.close_idle().await;
        self.wal_guard.close().await;
        if self.file.open_connections() > 0 {
            return Err(DbErr::Custom("the old files are still being read".to_owned()));
        }
        tracing::warn!("files beside the database were deleted: what they held is saved, and they are made anew");
        Ok(())
    }

    /// Moves the whole write-ahead log into the database file.
    async fn move_log(&self) -> std::result::Result<(), DbErr> {
        if self.file.open_connections() == 0 {
            return Ok(());
        }
        let until = Instant::now() + DISK_TIMEOUT;
        let rows =
            self.pool.get(&Party::Service, until).await?.query(&pragma("wal_checkpoint(TRUNCATE)"), until).await?;
        match rows.first().map(|row| row.try_get_by_index::<i32>(0)).transpose()? {
            Some(0) => self.file.remember_written().map_err(db_error),
            _ => Err(DbErr::Custom("readers are in the way of the write-ahead log".to_owned())),
        }
    }

    /// Commits something that means nothing: the number that SQLite keeps for the application.
    async fn trial_commit(&self) -> std::result::Result<(), DbErr> {
        let until = Instant::now() + DISK_TIMEOUT;
        let mut connection = self.pool.get(&Party::Service, until).await?;
        connection.begin("BEGIN IMMEDIATE", until, &Steps::default()).await?;
        let number = connection.query(&pragma("user_version"), until).await?;
        let number = number.first().map(|row| row.try_get_by_index::<i32>(0)).transpose()?.unwrap_or_default();
        connection.execute_text(&format!("PRAGMA user_version = {}", number.wrapping_add(1)), until).await?;
        connection.commit("COMMIT", until, &Steps::default()).await
    }

    /// Moves the write-ahead log into the database file, so that it does not grow for ever and holds nothing that was
    /// erased. Readers may be in its way, for longer than it has `patience`, so that it moves only in part: then the result
    /// is `false`. Any error is a fault: the connection is in a state that it must not be in.
    pub(super) async fn empty_log(&mut self, patience: Duration) -> Result<bool> {
        let mut connection = self.connection().await?;
        let moved = move_whole_log(&mut connection, patience).await;
        if moved.is_err() {
            connection.hang_up();
        }
        Ok(moved?)
    }
}

/// Whether the whole log could be moved with so much patience for readers.
async fn move_whole_log(connection: &mut PooledConnection, patience: Duration) -> std::result::Result<bool, DbErr> {
    let until = Instant::now() + DISK_TIMEOUT;
    connection.query(&busy_timeout(patience), until).await?;
    let rows = connection.query(&pragma("wal_checkpoint(TRUNCATE)"), until).await?;
    connection.query(&busy_timeout(BUSY_TIMEOUT), until).await?;
    let is_blocked = rows.first().map(|row| row.try_get_by_index::<i32>(0)).transpose()?;
    Ok(is_blocked == Some(0))
}

fn busy_timeout(timeout: Duration) -> Statement {
    pragma(&format!("busy_timeout = {}", timeout.as_millis()))
}

fn pragma(name: &str) -> Statement {
    Statement::from_string(DbBackend::Sqlite, format!("PRAGMA {name}"))
}
