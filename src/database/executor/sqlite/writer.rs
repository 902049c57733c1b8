//! The one task that writes.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{DISK_TIMEOUT, LOCKED, QUEUE_SIZE, group::Group, maintenance::Maintenance, queued_work::QueuedWork};
use crate::{
    database::{fault::db_error, pool::PooledConnection, steps::Steps},
    error::{Error, Result},
};

/// The most units of work that share a commit.
const MAX_GROUP: usize = 128;
/// How long a group takes in further work: the first one in it waits for all of them.
const GATHERING_TIME: Duration = Duration::from_millis(100);
/// How long work waits for another process's lock before it is refused.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the file is checked, and a commit tried while commits fail.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(1);

/// Takes work from the queue, runs it and commits it.
pub(super) struct Writer {
    maintenance: Maintenance,
    steps: Arc<Steps>,
    queue: mpsc::Receiver<QueuedWork>,
    /// Those who wait for the write-ahead log to be emptied.
    log_emptying: mpsc::Receiver<oneshot::Sender<Result<bool>>>,
    /// Taken from the queue, and waiting for another process's lock to go.
    waiting: VecDeque<QueuedWork>,
}

impl Writer {
    pub(super) fn new(
        maintenance: Maintenance,
        steps: Arc<Steps>,
        queue: mpsc::Receiver<QueuedWork>,
        log_emptying: mpsc::Receiver<oneshot::Sender<Result<bool>>>,
    ) -> Self {
        Self { maintenance, steps, queue, log_emptying, waiting: VecDeque::new() }
    }

    /// Runs until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        let mut ticks = interval(MAINTENANCE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => self.maintain().await,
                Some(asked) = self.log_emptying.recv() => self.empty_log(asked).await,
                work = next(&mut self.waiting, &mut self.queue) => match work {
                    Some(work) if self.maintenance.writes_fail() => work.refuse("the database cannot be written").await,
                    Some(work) => self.commit_together(work).await,
                    None => break,
                },
            }
        }
        if let Err(error) = self.maintenance.flush().await {
            self.fails(&error).await;
        }
        self.maintenance.close().await;
    }

    async fn empty_log(&mut self, asked: oneshot::Sender<Result<bool>>) {
        let emptied = match self.maintenance.writes_fail() {
            true => Err(Error::unavailable("the database cannot be written")),
            false => self.maintenance.empty_log().await,
        };
        if let Err(error) = &emptied
            && !self.maintenance.writes_fail()
        {
            self.fails(error).await;
        }
        // Where nobody waits any more, it is emptied all the same.
        let _gone = asked.send(emptied);
    }

    async fn maintain(&mut self) {
        self.maintenance.health().writer_is_busy(true);
        if let Err(error) = self.maintenance.tick().await {
            self.fails(&error).await;
        }
        self.maintenance.health().writer_is_busy(false);
    }

    /// Runs this unit of work and what else waits in one transaction, commits it, and answers.
    async fn commit_together(&mut self, first: QueuedWork) {
        self.waiting.push_front(first);
        self.maintenance.log_grows();
        self.maintenance.health().writer_is_busy(true);
        match self.transaction().await {
            Ok(true) => self.maintenance.health().writes_work(),
            Ok(false) => self.maintenance.health().writes_fail(LOCKED),
            Err(error) => self.fails(&error).await,
        }
        self.maintenance.health().writer_is_busy(false);
    }

    /// One transaction: whether there was one, or everybody was refused waiting for it.
    async fn transaction(&mut self) -> Result<bool> {
        let Some(connection) = self.begin().await? else { return Ok(false) };
        let group = Group::new(connection, Arc::clone(&self.steps));
        let began = Instant::now();
        let mut replies = Vec::new();
        while replies.len() < MAX_GROUP
            && began.elapsed() < GATHERING_TIME
            && group.is_sound().await
            && let Some(work) = self.waiting.pop_front().or_else(|| self.queue.try_recv().ok())
        {
            self.maintenance.health().writer_is_busy(true);
            replies.push(work.run(&group).await);
        }
        let committed = self.commit(&group).await;
        for reply in replies {
            reply(committed.clone());
        }
        committed.map(|()| true)
    }

    /// Begins a transaction as soon as no other process holds the lock. Work that waited too long for that is refused;
    /// `None` where none is left.
    async fn begin(&mut self) -> Result<Option<PooledConnection>> {
        let mut connection = self.maintenance.connection().await?;
        loop {
            let Err(error) = connection.begin("BEGIN IMMEDIATE", Instant::now() + DISK_TIMEOUT, &self.steps).await
            else {
                self.stay_in_place(&mut connection).await?;
                return Ok(Some(connection));
            };
            if !connection.is_trusted() {
                return Err(error.into());
            }
            while self.waiting.len() < QUEUE_SIZE
                && let Ok(work) = self.queue.try_recv()
            {
                self.waiting.push_back(work);
            }
            while let Some(work) = self.waiting.pop_front_if(|work| work.waited() >= LOCK_TIMEOUT) {
                work.refuse(LOCKED).await;
            }
            if self.waiting.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Commits the group. COMMIT fails where no transaction is open, and a connection on which anything failed before is not
    /// asked at all: `Ok` means that the group is on disk.
    async fn commit(&self, group: &Group) -> Result<()> {
        let mut connection = group.connection().await;
        if !connection.is_trusted() {
            return Err(Error::unavailable("another change in the same transaction failed"));
        }
        self.stay_in_place(&mut connection).await?;
        let committed = connection.commit("COMMIT", Instant::now() + DISK_TIMEOUT, &self.steps).await;
        committed.map_err(Error::outcome_unknown)?;
        // It may have been replaced in between.
        self.maintenance.file().ensure_in_place().map_err(Error::outcome_unknown)
    }

    /// Rolls back where the file is not in place. The connection stays: what a deleted log held can be saved through it
    /// alone.
    async fn stay_in_place(&self, connection: &mut PooledConnection) -> Result<()> {
        if let Err(error) = self.maintenance.file().ensure_in_place() {
            connection.rollback(Instant::now() + DISK_TIMEOUT).await?;
            return Err(db_error(error).into());
        }
        Ok(())
    }

    async fn fails(&mut self, error: &Error) {
        tracing::error!(cause = error.cause(), "a transaction failed");
        // Where it could not even be begun, they waited for it.
        for work in std::mem::take(&mut self.waiting) {
            work.refuse("a transaction cannot be begun").await;
        }
        self.maintenance.commit_failed().await;
    }
}

/// The work that waits for longest.
async fn next(waiting: &mut VecDeque<QueuedWork>, queue: &mut mpsc::Receiver<QueuedWork>) -> Option<QueuedWork> {
    match waiting.pop_front() {
        Some(work) => Some(work),
        None => queue.recv().await,
    }
}
