//! One connection, and whether it may still be trusted.
//!
//! While a statement is under way, and after one that leaves the connection's state unknown ([`Fault::Unavailable`]), the
//! connection is not trusted: no further statement runs on it, and whoever holds it closes it. So a future that is dropped in
//! the middle of a statement leaves nothing behind that could be used by mistake. SQLite ends a transaction by itself after
//! some faults: it reports so ([`SqliteFlags::rolled_back`]), and the connection is not trusted either.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use sea_orm::{
    DbErr, ExecResult, QueryResult, Statement,
    sqlx::{self, PgConnection, SqliteConnection},
};
use tokio::{sync::watch, time::Instant};

use super::{
    arrays::ArrayStatement,
    deadline::{answer_by, timed_out},
    fault::{Fault, db_error, driver_error},
    file::OpenConnection,
    pace::Pace,
    position::Replayed,
    raw::{Raw, Sql, untrusted},
    statements::Statements,
    steps::{Failure, Steps, injected_error},
};

/// After how many instructions SQLite asks whether to go on.
const PROGRESS_INTERVAL: i32 = 10_000;

/// A connection to the database.
pub(super) struct Connection {
    raw: Raw,
    flags: Arc<SqliteFlags>,
    _interrupt: InterruptOnDrop,
    trusted: bool,
    in_transaction: bool,
    named_statements: bool,
    /// The generation of connections it belongs to: see [`super::pool`].
    pub(super) generation: u64,
    /// Up to which generation connections are discarded. `None` where there is no network to lose them.
    pub(super) discarded: Option<watch::Receiver<u64>>,
    /// Who is told of its statements.
    pub(super) statements: Arc<Statements>,
    /// What its server had replayed when it was asked, if it is a standby.
    pub(super) replayed: Option<Replayed>,
}

/// Shared with the thread in which SQLite works.
#[derive(Default)]
struct SqliteFlags {
    /// SQLite ended the transaction.
    rolled_back: AtomicBool,
    /// Nobody waits for the running statement any more.
    interrupt: AtomicBool,
    /// A statement begins.
    begins: AtomicBool,
}

/// Interrupts, when it is dropped, what the thread is still working at.
struct InterruptOnDrop(Arc<SqliteFlags>);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.interrupt.store(true, Ordering::Relaxed);
    }
}

impl Connection {
    /// `open` is dropped when SQLite closes the connection, which may be long after this one is dropped.
    /// Where it is `paced`, statements that run for long give way to others.
    pub(super) async fn sqlite(
        mut raw: SqliteConnection,
        open: OpenConnection,
        paced: bool,
    ) -> Result<Self, sqlx::Error> {
        let flags = Arc::new(SqliteFlags::default());
        let (on_rollback, on_progress) = (Arc::clone(&flags), Arc::clone(&flags));
        let mut handle = raw.lock_handle().await?;
        handle.set_rollback_hook(move || {
            let _until_closed = &open;
            on_rollback.rolled_back.store(true, Ordering::SeqCst);
        });
        let mut pace = paced.then(Pace::new);
        handle.set_progress_handler(PROGRESS_INTERVAL, move || {
            if let Some(pace) = &mut pace {
                pace.step(&on_progress.begins);
            }
            !on_progress.interrupt.load(Ordering::Relaxed)
        });
        drop(handle);
        Ok(Self::new(Raw::Sqlite(raw), flags))
    }

    /// `named_statements`: statements are prepared once for the connection, not each time anew.
    pub(super) fn postgres(raw: PgConnection, named_statements: bool) -> Self {
        Self { named_statements, ..Self::new(Raw::Postgres(raw), Arc::default()) }
    }

    fn new(raw: Raw, flags: Arc<SqliteFlags>) -> Self {
        let _interrupt = InterruptOnDrop(Arc::clone(&flags));
        Self {
            raw,
            flags,
            _interrupt,
            trusted: true,
            in_transaction: false,
            named_statements: true,
            generation: 0,
            discarded: None,
            statements: Arc::default(),
            replayed: None,
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
        self.run(Sql::Statement(statement), until).await.map_err(db_error)
    }

    /// Runs a statement of which was told before.
    pub(super) async fn execute_untold(&mut self, statement: &Statement, until: Instant) -> Result<ExecResult, DbErr> {
        self.answered(Sql::Statement(statement), until).await.map_err(db_error)
    }

    /// The rows of a statement of PostgreSQL whose values are arrays. Of what it does was told before.
    pub(super) async fn query_arrays(
        &mut self,
        statement: ArrayStatement,
        until: Instant,
    ) -> Result<Vec<QueryResult>, DbErr> {
        let (discarded, named) = (self.discarded(), self.named_statements);
        let answer = match self.distrust() {
            Ok(raw) => answer_by(until, raw.query_arrays(statement, named)),
            Err(error) => return Err(db_error(error)),
        };
        let outcome = unless_discarded(discarded, answer).await;
        self.judge(outcome).map_err(db_error)
    }

    /// Runs statements of SQLite until one fails, and notes what came of each. Of these was told before.
    pub(super) async fn execute_each(
        &mut self,
        statements: &Statement,
        until: Instant,
        done: &mut Vec<ExecResult>,
    ) -> Result<(), DbErr> {
        let outcome = match self.distrust() {
            Ok(raw) => answer_by(until, raw.execute_each(statements, done)).await,
            Err(error) => return Err(db_error(error)),
        };
        self.judge(outcome).map_err(db_error)
    }

    /// Runs the text of one or more statements.
    pub(super) async fn execute_text(&mut self, sql: &str, until: Instant) -> Result<ExecResult, DbErr> {
        self.run(Sql::Text(sql), until).await.map_err(db_error)
    }

    /// Sets up a new session.
    pub(super) async fn set_up(&mut self, sql: &str, until: Instant) -> Result<(), sqlx::Error> {
        self.run(Sql::Text(sql), until).await.map(drop)
    }

    /// The rows of a query.
    pub(super) async fn query(&mut self, statement: &Statement, until: Instant) -> Result<Vec<QueryResult>, DbErr> {
        self.statements.tell(statement);
        let outcome = async {
            let discarded = self.discarded();
            let named = self.named_statements;
            let answer = answer_by(until, self.distrust()?.query(statement, named));
            let outcome = unless_discarded(discarded, answer).await;
            self.judge(outcome)
        };
        outcome.await.map_err(db_error)
    }

    /// Opens a transaction by these statements. None is open: else the connection would not have been reused.
    pub(super) async fn begin(&mut self, sql: &str, until: Instant, steps: &Steps) -> Result<(), DbErr> {
        self.flags.rolled_back.store(false, Ordering::SeqCst);
        self.in_transaction = true;
        let begun = self.step(sql, until, steps).await;
        // Where another process's lock refused it, nothing is open; after any other error that is unknown.
        let fault = begun.as_ref().err().and_then(driver_error).map(Fault::of);
        self.in_transaction = fault != Some(Fault::Contention);
        begun
    }

    /// Commits the transaction by these statements.
    pub(super) async fn commit(&mut self, sql: &str, until: Instant, steps: &Steps) -> Result<(), DbErr> {
        // A COMMIT that was sent may take effect even where the network fails: only its own answer can tell.
        let discarded = self.discarded.take();
        let committed = self.step(sql, until, steps).await;
        self.discarded = discarded;
        committed?;
        self.in_transaction = false;
        Ok(())
    }

    /// Rolls back the transaction.
    pub(super) async fn rollback(&mut self, until: Instant) -> Result<(), DbErr> {
        // The rollback that SQLite is about to report was asked for.
        self.in_transaction = false;
        let done = self.execute_text("ROLLBACK", until).await;
        self.in_transaction = done.is_err();
        done.map(drop)
    }

    /// Runs a step of a transaction.
    pub(super) async fn step(&mut self, sql: &str, until: Instant, steps: &Steps) -> Result<(), DbErr> {
        let failure = steps.take();
        if failure != Some(Failure::NotDone) {
            self.execute_text(sql, until).await?;
        }
        self.fail(failure)
    }

    /// Counts one more step: how it is to fail once it is done. One that is not to be done fails here.
    pub(super) fn take_step(&mut self, steps: &Steps) -> Result<Option<Failure>, DbErr> {
        let failure = steps.take();
        if failure == Some(Failure::NotDone) {
            self.fail(failure)?;
        }
        Ok(failure)
    }

    /// Makes a step fail.
    pub(super) fn fail(&mut self, failure: Option<Failure>) -> Result<(), DbErr> {
        match failure {
            None => Ok(()),
            Some(_) => {
                self.trusted = false;
                Err(db_error(injected_error()))
            }
        }
    }

    /// Whether the other end still answers.
    pub(super) async fn ping(&mut self, until: Instant) -> Result<(), sqlx::Error> {
        let outcome = answer_by(until, self.distrust()?.ping()).await;
        self.judge(outcome)
    }

    /// Drops the connection without a word to the other end, and without waiting for anything.
    pub(super) fn hang_up(&mut self) {
        self.trusted = false;
        self.flags.interrupt.store(true, Ordering::Relaxed);
        self.raw = Raw::Closed;
    }

    /// Closes the connection and waits until that is done.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        let Self { raw, _interrupt, .. } = self;
        raw.close().await
    }

    async fn run(&mut self, sql: Sql<'_>, until: Instant) -> Result<ExecResult, sqlx::Error> {
        match sql {
            Sql::Statement(statement) => self.statements.tell(statement),
            Sql::Text(text) => self.statements.tell_text(self.raw.backend(), text),
        }
        self.answered(sql, until).await
    }

    async fn answered(&mut self, sql: Sql<'_>, until: Instant) -> Result<ExecResult, sqlx::Error> {
        let discarded = self.discarded();
        let named = self.named_statements;
        let answer = answer_by(until, self.distrust()?.execute(sql, named));
        let outcome = unless_discarded(discarded, answer).await;
        self.judge(outcome)
    }

    /// Completes once the connection's generation is discarded, otherwise never.
    fn discarded(&self) -> impl Future<Output = ()> + use<> {
        let (discarded, generation) = (self.discarded.clone(), self.generation);
        async move {
            let is_discarded = match discarded {
                Some(mut discarded) => discarded.wait_for(|discarded| *discarded >= generation).await.is_ok(),
                None => false,
            };
            if !is_discarded {
                std::future::pending().await
            }
        }
    }

    /// The connection itself, not trusted until [`Self::judge`] says otherwise.
    fn distrust(&mut self) -> Result<&mut Raw, sqlx::Error> {
        if !std::mem::replace(&mut self.trusted, false) {
            return Err(untrusted());
        }
        self.flags.begins.store(true, Ordering::Relaxed);
        Ok(&mut self.raw)
    }

    fn judge<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        let known = outcome.as_ref().err().is_none_or(|error| Fault::of(error) != Fault::Unavailable);
        let lost_its_transaction = self.in_transaction && self.flags.rolled_back.load(Ordering::SeqCst);
        self.trusted = known && !lost_its_transaction;
        outcome
    }
}

async fn unless_discarded<T>(
    discarded: impl Future<Output = ()>,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    tokio::select! {
        biased;
        answer = answer => answer,
        () = discarded => Err(timed_out()),
    }
}
