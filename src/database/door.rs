//! The write door: how a piece of work becomes a committed transaction.
//!
//! **SQLite** has one writer. Work waits in a queue; one task takes what waits, runs each piece in a savepoint of one
//! `BEGIN IMMEDIATE` transaction and commits them with a single fsync. A piece that is refused undoes its savepoint and
//! nothing else; a fault ends the group, because SQLite may have rolled it back whole.
//!
//! **PostgreSQL** takes a connection of the pool for each piece, and runs it again after a deadlock or a serialization
//! failure.
//!
//! On both, work runs in a task of its own: a client that hangs up leaves all of it or nothing, and blocks nobody.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::error::{ApiError, Result};

/// The most pieces of work that share a commit.
const GROUP: usize = 128;
/// The most pieces that wait; further ones are answered 503.
const QUEUE: usize = 1024;
/// How long the SQLite writer is idle before it moves the write-ahead log into the database file.
const IDLE: Duration = Duration::from_secs(10);
/// How often work is run again after contention on PostgreSQL.
const ATTEMPTS: u32 = 10;

/// A piece of work on a transaction. It may be run more than once, so it must not have other effects.
pub trait Work<T>: for<'t> Fn(&'t DatabaseTransaction) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static {}

impl<T, W> Work<T> for W where W: for<'t> Fn(&'t DatabaseTransaction) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static
{}

/// A piece of work in the queue: runs in the group's transaction, or learns that there is none, and says how to answer
/// once that is decided.
pub(super) type Job = Box<dyn for<'t> FnOnce(Result<&'t DatabaseTransaction>) -> BoxFuture<'t, Done> + Send>;

/// What came of a piece of work, before the group's commit.
pub(super) struct Done {
    /// Whether the group's transaction is still sound.
    sound: bool,
    /// Answers the one who waits, given how the commit went.
    answer: Box<dyn FnOnce(Result<()>) + Send>,
}

pub(super) enum Door {
    OneWriter { queue: Mutex<Option<mpsc::Sender<Job>>>, writer: Mutex<Option<JoinHandle<()>>> },
    Pool(DatabaseConnection),
}

impl Door {
    pub(super) fn one_writer(connection: DatabaseConnection) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let writer = tokio::spawn(write(connection, waiting));
        Self::OneWriter { queue: Mutex::new(Some(queue)), writer: Mutex::new(Some(writer)) }
    }

    pub(super) fn pool(connection: DatabaseConnection) -> Self {
        Self::Pool(connection)
    }

    pub(super) async fn transact<T: Send + 'static>(&self, work: impl Work<T>) -> Result<T> {
        match self {
            Self::OneWriter { queue, .. } => {
                let queue = queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let queue = queue.ok_or_else(|| ApiError::unavailable("the write door is closed"))?;
                let (answer, answered) = oneshot::channel();
                queue.try_send(job(work, answer)).map_err(|_| ApiError::unavailable("too many changes are waiting"))?;
                answered.await.map_err(|_| ApiError::internal("the writer dropped a change"))?
            }
            Self::Pool(pool) => {
                let task = tokio::spawn(attempt(pool.clone(), Arc::new(work)));
                task.await.map_err(|_| ApiError::internal("a change panicked"))?
            }
        }
    }

    /// Finishes what waits; takes nothing more.
    pub(super) async fn close(&self) -> std::result::Result<(), DbErr> {
        match self {
            Self::OneWriter { queue, writer } => {
                drop(queue.lock().unwrap_or_else(PoisonError::into_inner).take());
                let writer = writer.lock().unwrap_or_else(PoisonError::into_inner).take();
                match writer {
                    Some(writer) => writer.await.map_err(|error| DbErr::Custom(error.to_string())),
                    None => Ok(()),
                }
            }
            Self::Pool(pool) => pool.clone().close().await,
        }
    }
}

/// Runs work on the pool, again after contention.
async fn attempt<T: Send + 'static>(pool: DatabaseConnection, work: Arc<impl Work<T>>) -> Result<T> {
    let mut attempts = 1;
    loop {
        let outcome = in_transaction(&pool, &*work).await;
        match &outcome {
            Err(error) if error.is_contention() && attempts < ATTEMPTS => {
                tracing::debug!(attempts, cause = error.cause(), "running a change again");
                tokio::time::sleep(Duration::from_millis(10) * attempts).await;
                attempts += 1;
            }
            _ => return outcome,
        }
    }
}

/// Runs work in a transaction of the pool, or in a savepoint of a group.
async fn in_transaction<T: Send + 'static>(
    outer: &impl TransactionTrait<Transaction = DatabaseTransaction>,
    work: &impl Work<T>,
) -> Result<T> {
    let transaction = outer.begin().await?;
    match work(&transaction).await {
        Ok(value) => transaction.commit().await.map(|()| value).map_err(ApiError::from),
        Err(error) => {
            transaction.rollback().await?;
            Err(error)
        }
    }
}

/// Makes a job of work: its own savepoint, its own answer.
fn job<T: Send + 'static>(work: impl Work<T>, answer: oneshot::Sender<Result<T>>) -> Job {
    Box::new(move |group| {
        async move {
            // Nobody waits any more and nothing has happened yet: leave it so.
            if answer.is_closed() {
                return Done { sound: true, answer: Box::new(|_| ()) };
            }
            let outcome = match group {
                Ok(group) => AssertUnwindSafe(in_transaction(group, &work)).catch_unwind().await,
                Err(error) => Ok(Err(error)),
            };
            let outcome = outcome.unwrap_or_else(|_| Err(ApiError::internal("a change panicked")));
            let fault = |error: &ApiError| error.code().status().is_server_error();
            let sound = !outcome.as_ref().is_err_and(fault);
            let answer = move |committed: Result<()>| {
                // A refusal, too, was judged by what the group had written: where that is not committed, neither holds.
                // Where nobody waits any more the change stands all the same.
                let _gone = answer.send(committed.and(outcome));
            };
            Done { sound, answer: Box::new(answer) }
        }
        .boxed()
    })
}

/// The writer: takes what waits, commits it together, answers.
async fn write(connection: DatabaseConnection, mut waiting: mpsc::Receiver<Job>) {
    let mut written = false;
    loop {
        match tokio::time::timeout(IDLE, waiting.recv()).await {
            Ok(Some(first)) => {
                write_group(&connection, first, &mut waiting).await;
                written = true;
            }
            Ok(None) => break,
            Err(_idle) if written => {
                checkpoint(&connection).await;
                written = false;
            }
            Err(_idle) => {}
        }
    }
    checkpoint(&connection).await;
    if let Err(error) = connection.close().await {
        tracing::error!(%error, "cannot close the database");
    }
}

async fn write_group(connection: &DatabaseConnection, first: Job, waiting: &mut mpsc::Receiver<Job>) {
    let immediate = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let group = match connection.begin_with_options(immediate).await {
        Ok(group) => group,
        Err(error) => return (first(Err(error.into())).await.answer)(Ok(())),
    };
    let mut group_done = Vec::new();
    let mut next = Some(first);
    while let Some(job) = next {
        let done = job(Ok(&group)).await;
        let sound = done.sound;
        group_done.push(done);
        next = if sound && group_done.len() < GROUP { waiting.try_recv().ok() } else { None };
    }
    let committed = group.commit().await.map_err(ApiError::from);
    for done in group_done {
        (done.answer)(committed.clone());
    }
}

/// Moves the write-ahead log into the database file, so that it does not grow for ever.
async fn checkpoint(connection: &DatabaseConnection) {
    if let Err(error) = connection.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await {
        tracing::warn!(%error, "cannot checkpoint the write-ahead log");
    }
}
