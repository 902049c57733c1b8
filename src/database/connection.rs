//! One connection, and whether it may still be trusted.
//!
//! While a statement is under way, and after one that failed in a way that leaves the connection's state open
//! ([`Fault::Unavailable`]), the connection is not trusted: no further statement runs on it, and whoever holds it closes it.
//! So a future that is dropped in the middle of a statement leaves nothing behind that could be used by mistake. SQLite
//! ends a transaction by itself after some faults: it says so ([`Signals::rolled_back`]), and the connection is not trusted
//! either.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use sea_orm::{
    DbErr, ExecResult, QueryResult, Statement,
    sqlx::{self, Connection as _, Executor, PgConnection, SqliteConnection},
};
use sea_query_sqlx::SqlxValues;
use tokio::{sync::watch, time::Instant};

use super::{
    deadline::{answer, no_answer},
    fault::{self, Fault, failed},
    file::Opened,
    steps::{self, Failure, Steps},
};

/// How many instructions SQLite carries out before it asks whether to go on.
const INSTRUCTIONS: i32 = 10_000;

/// A connection to the database.
pub(super) struct Connection {
    raw: Raw,
    signals: Arc<Signals>,
    _until_dropped: NotGivenUp,
    trusted: bool,
    in_transaction: bool,
    named_statements: bool,
    /// Which generation of connections it belongs to: see [`super::pool`].
    pub(super) generation: u64,
    /// Up to which generation connections are known to be swallowed by the network.
    pub(super) buried: Option<watch::Receiver<u64>>,
}

enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    Closed,
}

/// What is said to and by the thread in which SQLite works.
#[derive(Default)]
struct Signals {
    /// SQLite ended the transaction.
    rolled_back: AtomicBool,
    /// Nobody waits any more for the statement that is under way.
    given_up: AtomicBool,
}

/// Gives up, once it is dropped, what the thread is still working at.
struct NotGivenUp(Arc<Signals>);

impl Drop for NotGivenUp {
    fn drop(&mut self) {
        self.0.given_up.store(true, Ordering::Relaxed);
    }
}

/// What is asked of a connection: a statement with its values, or the text of one or more without.
#[derive(Clone, Copy)]
enum Asked<'a> {
    Statement(&'a Statement),
    Text(&'a str),
}

impl Connection {
    /// `opened` is dropped when SQLite closes the connection, which may be long after this one is dropped.
    pub(super) async fn sqlite(mut raw: SqliteConnection, opened: Opened) -> Result<Self, sqlx::Error> {
        let signals = Arc::new(Signals::default());
        let (rolled_back, given_up) = (Arc::clone(&signals), Arc::clone(&signals));
        let mut handle = raw.lock_handle().await?;
        handle.set_rollback_hook(move || {
            let _until_closed = &opened;
            rolled_back.rolled_back.store(true, Ordering::SeqCst);
        });
        handle.set_progress_handler(INSTRUCTIONS, move || !given_up.given_up.load(Ordering::Relaxed));
        drop(handle);
        Ok(Self::new(Raw::Sqlite(raw), signals))
    }

    /// `named_statements`: whether statements are prepared once for the connection, or each time anew.
    pub(super) fn postgres(raw: PgConnection, named_statements: bool) -> Self {
        Self { named_statements, ..Self::new(Raw::Postgres(raw), Arc::default()) }
    }

    fn new(raw: Raw, signals: Arc<Signals>) -> Self {
        let _until_dropped = NotGivenUp(Arc::clone(&signals));
        Self {
            raw,
            signals,
            _until_dropped,
            trusted: true,
            in_transaction: false,
            named_statements: true,
            generation: 0,
            buried: None,
        }
    }

    /// Whether a further statement may run on the connection.
    pub(super) fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Whether somebody else may have the connection.
    pub(super) fn is_reusable(&self) -> bool {
        self.trusted && !self.in_transaction
    }

    /// Runs a statement.
    pub(super) async fn execute(&mut self, statement: &Statement, until: Instant) -> Result<ExecResult, DbErr> {
        self.run(Asked::Statement(statement), until).await.map_err(failed)
    }

    /// Runs the text of one or more statements.
    pub(super) async fn execute_text(&mut self, sql: &str, until: Instant) -> Result<ExecResult, DbErr> {
        self.run(Asked::Text(sql), until).await.map_err(failed)
    }

    /// Sets up a session that was just begun.
    pub(super) async fn set_up(&mut self, sql: &str, until: Instant) -> Result<(), sqlx::Error> {
        self.run(Asked::Text(sql), until).await.map(drop)
    }

    /// The rows of a query.
    pub(super) async fn query(&mut self, statement: &Statement, until: Instant) -> Result<Vec<QueryResult>, DbErr> {
        let outcome = async {
            let buried = self.buried();
            let named = self.named_statements;
            let answer = answer(until, rows(self.distrust()?, statement, named));
            let outcome = unless(buried, answer).await;
            self.judge(outcome)
        };
        outcome.await.map_err(failed)
    }

    /// Opens a transaction by these statements. None is open: else the connection would not have been reused.
    pub(super) async fn begin(&mut self, sql: &str, until: Instant, steps: &Steps) -> Result<(), DbErr> {
        self.signals.rolled_back.store(false, Ordering::SeqCst);
        self.in_transaction = true;
        let begun = self.step(sql, until, steps).await;
        // Where another process's lock refused it, nothing is open; after any other error that is not known.
        let fault = begun.as_ref().err().and_then(fault::cause).map(Fault::of);
        self.in_transaction = fault != Some(Fault::Contention);
        begun
    }

    /// Commits the transaction by these statements.
    pub(super) async fn commit(&mut self, sql: &str, until: Instant, steps: &Steps) -> Result<(), DbErr> {
        // What was sent may take effect, whatever is heard of the network: it alone can say whether it did.
        let buried = self.buried.take();
        let committed = self.step(sql, until, steps).await;
        self.buried = buried;
        committed?;
        self.in_transaction = false;
        Ok(())
    }

    /// Takes back the transaction.
    pub(super) async fn rollback(&mut self, until: Instant) -> Result<(), DbErr> {
        // That SQLite says so is no news: it was asked to.
        self.in_transaction = false;
        let done = self.execute_text("ROLLBACK", until).await;
        self.in_transaction = done.is_err();
        done.map(drop)
    }

    /// Runs what is a step of a transaction.
    pub(super) async fn step(&mut self, sql: &str, until: Instant, steps: &Steps) -> Result<(), DbErr> {
        let failure = steps.take();
        if failure != Some(Failure::NotDone) {
            self.execute_text(sql, until).await?;
        }
        self.fail(failure)
    }

    /// Makes a step fail.
    pub(super) fn fail(&mut self, failure: Option<Failure>) -> Result<(), DbErr> {
        match failure {
            None => Ok(()),
            Some(_) => {
                self.trusted = false;
                Err(failed(steps::failed()))
            }
        }
    }

    /// Whether the other end still answers.
    pub(super) async fn ping(&mut self, until: Instant) -> Result<(), sqlx::Error> {
        let outcome = match self.distrust()? {
            Raw::Sqlite(connection) => answer(until, connection.ping()).await,
            Raw::Postgres(connection) => answer(until, connection.ping()).await,
            Raw::Closed => Err(untrusted()),
        };
        self.judge(outcome)
    }

    /// Closes the connection without a word, and without waiting for anything.
    pub(super) fn hang_up(&mut self) {
        self.trusted = false;
        self.signals.given_up.store(true, Ordering::Relaxed);
        self.raw = Raw::Closed;
    }

    /// Closes the connection and waits until that is done.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        let Self { raw, _until_dropped, .. } = self;
        match raw {
            Raw::Sqlite(connection) => connection.close().await,
            Raw::Postgres(connection) => connection.close().await,
            Raw::Closed => Ok(()),
        }
    }

    async fn run(&mut self, asked: Asked<'_>, until: Instant) -> Result<ExecResult, sqlx::Error> {
        let buried = self.buried();
        let named = self.named_statements;
        let answer = answer(until, execution(self.distrust()?, asked, named));
        let outcome = unless(buried, answer).await;
        self.judge(outcome)
    }

    /// Ready once nothing more is to be expected of the connection.
    fn buried(&self) -> impl Future<Output = ()> + use<> {
        let (buried, generation) = (self.buried.clone(), self.generation);
        async move {
            let known = match buried {
                Some(mut buried) => buried.wait_for(|buried| *buried >= generation).await.is_ok(),
                None => false,
            };
            if !known {
                std::future::pending().await
            }
        }
    }

    /// The connection itself, not trusted until [`Self::judge`] says otherwise.
    fn distrust(&mut self) -> Result<&mut Raw, sqlx::Error> {
        if !std::mem::replace(&mut self.trusted, false) {
            return Err(untrusted());
        }
        Ok(&mut self.raw)
    }

    fn judge<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        let known = outcome.as_ref().err().is_none_or(|error| Fault::of(error) != Fault::Unavailable);
        let lost_its_transaction = self.in_transaction && self.signals.rolled_back.load(Ordering::SeqCst);
        self.trusted = known && !lost_its_transaction;
        outcome
    }
}

async fn unless<T>(
    buried: impl Future<Output = ()>,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    tokio::select! {
        biased;
        answer = answer => answer,
        () = buried => Err(no_answer()),
    }
}

async fn execution(raw: &mut Raw, asked: Asked<'_>, named: bool) -> Result<ExecResult, sqlx::Error> {
    Ok(match (raw, asked) {
        (Raw::Sqlite(connection), Asked::Statement(statement)) => {
            sqlx::query_with(sqlx::AssertSqlSafe(statement.sql.as_str()), values(statement))
                .execute(connection)
                .await?
                .into()
        }
        (Raw::Sqlite(connection), Asked::Text(sql)) => {
            connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await?.into()
        }
        (Raw::Postgres(connection), Asked::Statement(statement)) => {
            let query = sqlx::query_with(sqlx::AssertSqlSafe(statement.sql.as_str()), values(statement));
            query.persistent(named).execute(connection).await?.into()
        }
        (Raw::Postgres(connection), Asked::Text(sql)) => {
            connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await?.into()
        }
        (Raw::Closed, _) => return Err(untrusted()),
    })
}

async fn rows(raw: &mut Raw, statement: &Statement, named: bool) -> Result<Vec<QueryResult>, sqlx::Error> {
    let sql = sqlx::AssertSqlSafe(statement.sql.as_str());
    Ok(match raw {
        Raw::Sqlite(connection) => {
            let rows = sqlx::query_with(sql, values(statement)).fetch_all(connection).await?;
            rows.into_iter().map(QueryResult::from).collect()
        }
        Raw::Postgres(connection) => {
            let rows = sqlx::query_with(sql, values(statement)).persistent(named).fetch_all(connection).await?;
            rows.into_iter().map(QueryResult::from).collect()
        }
        Raw::Closed => return Err(untrusted()),
    })
}

fn untrusted() -> sqlx::Error {
    sqlx::Error::Protocol("the connection is not trusted any more".to_owned())
}

fn values(statement: &Statement) -> SqlxValues {
    SqlxValues(statement.values.clone().unwrap_or_else(|| sea_orm::Values(Vec::new())))
}
