//! SQLite: one writer. Work waits in a queue; one task takes what waits, runs each piece in a savepoint of one transaction
//! and commits them with a single fsync.
//!
//! A piece that is refused takes back its savepoint and nothing else. A fault ends the whole group, because SQLite may have
//! rolled it back: everybody in it is answered 503. A trial commit follows on a new connection; while it fails, every piece
//! is refused at once, and it is made again each second ([`upkeep`]).

mod upkeep;

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{Arc, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::{DbBackend, DbErr};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use super::Work;
use crate::{
    database::{
        deadline::Deadline,
        fault::failed,
        file::{DatabaseFile, Place},
        health::Health,
        keeper::Keeper,
        pool::{Lease, Pool},
        steps::Steps,
        transaction::Transaction,
    },
    error::{ApiError, Result},
};

/// The most pieces of work that share a commit.
const GROUP: usize = 128;
/// How long a group takes in further pieces: the first one waits for all of them.
const GATHERING: Duration = Duration::from_millis(100);
/// The most pieces that wait; further ones are answered 503.
const QUEUE: usize = 1024;
/// How long work waits for another process's lock before it is refused.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the disk may take for a step before the connection is given up. Those who wait are answered before.
const DISK: Duration = Duration::from_secs(30);
/// How often the writer looks after the file, and tries to commit while that fails.
const TICK: Duration = Duration::from_secs(1);
/// What is said of another process's lock.
const LOCKED: &str = "another process holds the lock on the database";
/// After how many ticks without work the write-ahead log is moved into the database file.
const IDLE: u32 = 10;

/// The queue of the one writer.
pub(in crate::database) struct SqliteExecutor {
    queue: std::sync::Mutex<Option<mpsc::Sender<Job>>>,
    writer: std::sync::Mutex<Option<JoinHandle<()>>>,
}

/// A piece of work in the queue.
struct Job {
    since: Instant,
    run: Run,
}

/// Runs the piece in a group, or learns that there is none.
type Run = Box<dyn for<'g> FnOnce(Result<&'g Group>) -> BoxFuture<'g, Answer> + Send + Sync>;

/// Answers the one who waits, given how the group's commit went.
type Answer = Box<dyn FnOnce(Result<()>) + Send>;

impl SqliteExecutor {
    /// `pool` holds the one connection that writes, `readers` those that read.
    pub(in crate::database) fn start(
        pool: Pool,
        readers: Pool,
        (file, keeper): (Arc<DatabaseFile>, Keeper),
        steps: Arc<Steps>,
        health: Arc<Health>,
    ) -> Self {
        let (queue, coming) = mpsc::channel(QUEUE);
        let waiting = VecDeque::new();
        let writer = Writer { pool, readers, file, keeper, steps, health, coming, waiting, failing: false, idle: None };
        Self { queue: Some(queue).into(), writer: Some(tokio::spawn(writer.run())).into() }
    }

    /// Puts a piece of work into the queue.
    pub(super) fn enqueue<T: Send + 'static>(
        &self,
        deadline: Deadline,
        work: impl Work<T>,
        answer: oneshot::Sender<Result<T>>,
    ) -> Result<()> {
        let run: Run = Box::new(move |group| {
            async move {
                // Nobody waits any more and nothing has happened yet: leave it so.
                if answer.is_closed() {
                    return Box::new(|_| ()) as Answer;
                }
                let outcome = match group {
                    Ok(group) => group.run(deadline, &work).await,
                    Err(error) => Err(error),
                };
                Box::new(move |committed| {
                    let answered = match (committed, outcome) {
                        (Err(_), Err(fault)) if fault.is_fault() => Err(fault),
                        // A refusal, too, was judged by what the group had written: where that is not committed, neither
                        // holds.
                        (Err(fault), _) => Err(fault),
                        (Ok(()), outcome) => outcome,
                    };
                    // Where nobody waits any more the change stands all the same.
                    let _gone = answer.send(answered);
                }) as Answer
            }
            .boxed()
        });
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let queue = queue.ok_or_else(|| ApiError::unavailable("the service stops"))?;
        let job = Job { since: Instant::now(), run };
        queue.try_send(job).map_err(|_| ApiError::unavailable("too many changes are waiting"))
    }

    /// Finishes what waits; takes nothing more.
    pub(super) async fn close(&self) -> std::result::Result<(), DbErr> {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        match writer {
            Some(writer) => writer.await.map_err(|error| DbErr::Custom(error.to_string())),
            None => Ok(()),
        }
    }
}

/// An open transaction, and the pieces of work in it.
struct Group {
    connection: Arc<Mutex<Lease>>,
    steps: Arc<Steps>,
}

impl Group {
    /// Runs a piece of work in a savepoint of its own. Whether a piece that returned is committed, the group decides.
    async fn run<T: Send + 'static>(&self, deadline: Deadline, work: &impl Work<T>) -> Result<T> {
        if deadline.is_over() {
            return Err(ApiError::unavailable("the change waited for too long"));
        }
        self.step("SAVEPOINT piece").await?;
        let connection = Arc::clone(&self.connection);
        let steps = Arc::clone(&self.steps);
        let transaction = Transaction { connection, backend: DbBackend::Sqlite, deadline, steps };
        let outcome = AssertUnwindSafe(work(&transaction)).catch_unwind().await;
        match outcome.unwrap_or_else(|_| Err(ApiError::internal("a change panicked"))) {
            Ok(value) => self.step("RELEASE piece").await.map(|()| value),
            Err(refused) => {
                let mut connection = self.connection.lock().await;
                if connection.is_trusted() {
                    connection.execute_text("ROLLBACK TO piece; RELEASE piece", Instant::now() + DISK).await?;
                }
                Err(refused)
            }
        }
    }

    async fn step(&self, sql: &str) -> Result<()> {
        Ok(self.connection.lock().await.step(sql, Instant::now() + DISK, &self.steps).await?)
    }

    async fn is_sound(&self) -> bool {
        self.connection.lock().await.is_trusted()
    }
}

/// The one task that writes.
struct Writer {
    pool: Pool,
    readers: Pool,
    file: Arc<DatabaseFile>,
    keeper: Keeper,
    steps: Arc<Steps>,
    health: Arc<Health>,
    coming: mpsc::Receiver<Job>,
    /// What came, and waits for another process's lock to go.
    waiting: VecDeque<Job>,
    /// Whether the last transaction failed, so that only trials are made.
    failing: bool,
    /// For how many ticks there was no work, since there was some.
    idle: Option<u32>,
}

impl Writer {
    async fn run(mut self) {
        let mut ticks: Interval = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => self.tick().await,
                job = self.next() => match job {
                    Some(job) if self.failing => refuse(job, "the database cannot be written").await,
                    Some(job) => self.commit_together(job).await,
                    None => break,
                },
            }
        }
        match self.file.look() {
            Place::Intact => self.checkpoint().await,
            Place::BesideDeleted => {
                if let Err(error) = self.move_log().await {
                    tracing::error!(%error, "files beside the database were deleted, and what they held is lost");
                }
            }
            Place::Lost => {}
        }
        self.pool.close().await;
        self.keeper.close().await;
    }

    async fn next(&mut self) -> Option<Job> {
        match self.waiting.pop_front() {
            Some(job) => Some(job),
            None => self.coming.recv().await,
        }
    }

    /// Runs this piece and what else waits in one transaction, commits it, and answers.
    async fn commit_together(&mut self, first: Job) {
        self.waiting.push_front(first);
        self.idle = Some(0);
        self.health.writer_is_busy(true);
        match self.transaction().await {
            Ok(true) => self.health.writes_work(),
            Ok(false) => self.health.writes_fail(LOCKED),
            Err(error) => self.fails(&error).await,
        }
        self.health.writer_is_busy(false);
    }

    /// One transaction: whether there was one, or everybody was refused waiting for it.
    async fn transaction(&mut self) -> Result<bool> {
        let Some(connection) = self.begin().await? else { return Ok(false) };
        let group = Group { connection: Arc::new(Mutex::new(connection)), steps: Arc::clone(&self.steps) };
        let began = Instant::now();
        let mut answers = Vec::new();
        while answers.len() < GROUP
            && began.elapsed() < GATHERING
            && group.is_sound().await
            && let Some(job) = self.waiting.pop_front().or_else(|| self.coming.try_recv().ok())
        {
            self.health.writer_is_busy(true);
            answers.push((job.run)(Ok(&group)).await);
        }
        let committed = self.commit(&group).await;
        for answer in answers {
            answer(committed.clone());
        }
        committed.map(|()| true)
    }

    /// Begins a transaction, as soon as no other process holds the lock. Those who waited too long for that are refused
    /// together; `None` where nobody is left.
    async fn begin(&mut self) -> Result<Option<Lease>> {
        let mut connection = self.connection().await?;
        loop {
            let Err(error) = connection.begin("BEGIN IMMEDIATE", Instant::now() + DISK, &self.steps).await else {
                self.stay_in_place(&mut connection).await?;
                return Ok(Some(connection));
            };
            if !connection.is_trusted() {
                return Err(error.into());
            }
            while self.waiting.len() < QUEUE
                && let Ok(job) = self.coming.try_recv()
            {
                self.waiting.push_back(job);
            }
            while let Some(job) = self.waiting.pop_front_if(|job| job.since.elapsed() >= PATIENCE) {
                refuse(job, LOCKED).await;
            }
            if self.waiting.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Commits the group. COMMIT fails where no transaction is open, and a connection on which anything failed before is not
    /// asked at all: `Ok` means that the group is on disk.
    async fn commit(&self, group: &Group) -> Result<()> {
        let mut connection = group.connection.lock().await;
        if !connection.is_trusted() {
            return Err(ApiError::unavailable("another change in the same transaction failed"));
        }
        self.stay_in_place(&mut connection).await?;
        let committed = connection.commit("COMMIT", Instant::now() + DISK, &self.steps).await;
        committed.map_err(ApiError::outcome_open)?;
        // It may have been replaced in between.
        self.file.must_be_in_place().map_err(ApiError::outcome_open)
    }

    /// Takes the transaction back where the file is not in place. The connection stays: what a deleted log held can be saved
    /// through it alone.
    async fn stay_in_place(&self, connection: &mut Lease) -> Result<()> {
        if let Err(gone) = self.file.must_be_in_place() {
            connection.rollback(Instant::now() + DISK).await?;
            return Err(failed(gone).into());
        }
        Ok(())
    }

    async fn connection(&self) -> Result<Lease> {
        Ok(self.pool.get(Instant::now() + DISK).await?)
    }
}

async fn refuse(job: Job, cause: &'static str) {
    (job.run)(Err(ApiError::unavailable(cause))).await(Ok(()));
}
