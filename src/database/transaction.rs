//! The transaction that a unit of work runs in.

use std::{
    any::TypeId,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, ExecResult, FromQueryResult, QueryResult, QuerySelect, QueryTrait, Select,
    Statement,
    prelude::async_trait::async_trait,
    sea_query::{LockBehavior, LockType},
};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use super::{
    at_end::{AtEnd, Piece, Turn, together},
    deadline::{Deadline, timed_out},
    fault::db_error,
    list::known::{Known, ListSource},
    pool::PooledConnection,
    read_cache::{Changed, ReadCache},
    rows::{ForEach, RowUpdate, Rows},
    seat::{RowKey, Seat},
    steps::{Failure, Steps},
    tenancy::Listed,
    together::Together,
};
use crate::values::Tenant;

/// An open transaction for one unit of work: statements run in it until the deadline. Only the write executor
/// ([`super::executor`]) begins and ends it.
pub struct Transaction {
    place: Place,
    pub(super) backend: DbBackend,
    pub(super) deadline: Deadline,
    pub(super) steps: Arc<Steps>,
    pub(super) at_end: AtEnd,
    changed: std::sync::Mutex<Changed>,
    /// What it shares with those that are committed together with it, on SQLite.
    together: Option<Arc<Together>>,
    /// Whether it is in a savepoint of its own, on SQLite.
    savepoint: AtomicBool,
    /// Whether anything was run that writes, on SQLite.
    written: AtomicBool,
}

/// Where its statements run.
enum Place {
    Connection(Arc<Mutex<PooledConnection>>),
    /// Nowhere by themselves: it has a place in a group of PostgreSQL.
    Group(Arc<Seat>),
}

/// Begins what can be taken back by itself, keeps it, and takes it back.
const SAVEPOINT: &str = "SAVEPOINT unit_of_work";
const RELEASE: &str = "RELEASE unit_of_work";
pub(super) const UNDO: &str = "ROLLBACK TO unit_of_work; RELEASE unit_of_work";

impl Transaction {
    pub(super) fn new(
        connection: Arc<Mutex<PooledConnection>>,
        backend: DbBackend,
        deadline: Deadline,
        steps: Arc<Steps>,
        at_end: AtEnd,
    ) -> Self {
        Self::at(Place::Connection(connection), backend, deadline, steps, at_end)
    }

    /// That of a unit of work in a group of PostgreSQL.
    pub(super) fn in_group(seat: Arc<Seat>, deadline: Deadline, at_end: AtEnd) -> Self {
        Self::at(Place::Group(seat), DbBackend::Postgres, deadline, Arc::default(), at_end)
    }

    fn at(place: Place, backend: DbBackend, deadline: Deadline, steps: Arc<Steps>, at_end: AtEnd) -> Self {
        let (changed, together, savepoint, written) = Default::default();
        Self { place, backend, deadline, steps, at_end, changed, together, savepoint, written }
    }

    /// The same, of a unit of work that is committed with others.
    pub(super) fn with(self, together: Arc<Together>) -> Self {
        Self { together: Some(together), ..self }
    }

    /// The tenant's row of `E` with this id, which `select` finds, locked until the transaction ends.
    ///
    /// # Errors
    /// A database error.
    pub async fn lock<E: Listed>(
        &self,
        (tenant, id): (&Tenant, Uuid),
        select: Select<E>,
        lock: LockType,
    ) -> Result<Option<E::Model>, DbErr> {
        if let Some(Together { writing, .. }) = self.together.as_deref()
            && !writing.may_change::<E>(tenant, id, &self.changed())
        {
            // On SQLite nobody else writes, so it is locked, and stays as it is in memory.
            return match writing.row::<E>(tenant, id) {
                Some(row) => Ok(Some(row)),
                None => self
                    .read_as_before(&select.build(self.backend))
                    .await?
                    .map(|row| E::Model::from_query_result(&row, ""))
                    .transpose(),
            };
        }
        let Place::Group(seat) = &self.place else { return Ok(select.lock(lock).all(self).await?.pop()) };
        // A group waits for nobody's lock.
        let select = select.lock_with_behavior(lock, LockBehavior::SkipLocked).build(self.backend);
        let key = RowKey { entity: TypeId::of::<E>(), tenant: tenant.clone(), id };
        let row = seat.lock(key, lock, select).await?;
        E::Model::from_query_result(&row, "").map(Some)
    }

    /// The row is as it is here, once the transaction is committed: it is kept in memory.
    pub fn keeps<E: Listed>(&self, tenant: &Tenant, id: Uuid, row: &E::Model) {
        if self.together.is_some() {
            self.changed().say_whole::<E>(tenant, id, row);
        }
    }

    /// The next statement changes the tenant's rows with these ids, and no others that are read by their ids. Where that is not
    /// said, any row of the table may be changed.
    pub fn changes_rows(&self, tenant: &Tenant, ids: impl IntoIterator<Item = Uuid>) {
        self.changed().say(tenant, ids);
    }

    /// The transaction hides or changes whatever rows of the tenant.
    pub fn changes_any_row(&self, tenant: &Tenant) {
        self.changed().say_all(tenant);
    }

    /// What the transaction writes is in no list whose pages are [kept](super::tenancy::Listed::IS_KEPT).
    pub fn changes_no_list(&self) {
        self.changed().say_no_list();
    }

    /// What is left of it, and what it changes.
    pub(super) fn into_parts(self) -> (Vec<Piece>, Changed) {
        (self.at_end.take(), self.changed.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn changed(&self) -> std::sync::MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Inserts rows once the unit of work has returned, together with all that is left to its end. Nothing in the unit of work sees
    /// these rows, unless after [`Self::insert_now`].
    pub fn insert_at_end(&self, rows: Rows) {
        self.changed().inserts();
        self.at_end.push(self.backend, Piece::Insertion(rows));
    }

    /// Inserts the claim of the unit of work at its end: before all that is left to that. It names a resource, and the unit is refused
    /// where it is there already.
    pub fn claim_at_end(&self, resource: Uuid, claim: Rows) {
        self.changed().inserts();
        self.at_end.push(self.backend, Piece::Claim(resource, claim));
    }

    /// Updates a row, like [`Self::change`]. In a group the unit of work runs by itself unless one row is updated.
    ///
    /// # Errors
    /// As for [`Self::change`].
    pub async fn update(&self, update: RowUpdate, rows: Option<u64>) -> Result<Option<u64>, DbErr> {
        match self.place {
            Place::Group(_) => {
                self.at_end.push(self.backend, Piece::Update(update, Some(1)));
                Ok(Some(1))
            }
            Place::Connection(_) if self.backend == DbBackend::Sqlite => {
                self.changed().note_table(update.table);
                self.leave(Piece::Update(update, rows)).await
            }
            Place::Connection(_) => self.change(update.statement(self.backend), rows).await,
        }
    }

    /// Runs a statement of SQLite about a row of values, like [`Self::change`].
    ///
    /// # Errors
    /// As for [`Self::change`].
    pub async fn for_each(&self, statement: ForEach) -> Result<(), DbErr> {
        let [text, _] = statement.sql;
        self.changed().note(text);
        self.leave(Piece::ForEach(statement)).await.map(drop)
    }

    /// Leaves what changes rows, on SQLite: how many is not known yet.
    async fn leave(&self, piece: Piece) -> Result<Option<u64>, DbErr> {
        self.at_end.push(self.backend, piece);
        if self.at_end.is_full() {
            self.run_left(None).await?;
        }
        Ok(None)
    }

    /// Runs a statement that changes so many rows, if that is said: on SQLite, once the unit of work has returned, or before it reads
    /// or has left much. How many rows it has changed, if that is known already.
    ///
    /// # Errors
    /// A database error; [`DbErr::RecordNotUpdated`] where it changes another number of rows. On SQLite, the unit of work fails with it
    /// later.
    pub async fn change(&self, statement: Statement, rows: Option<u64>) -> Result<Option<u64>, DbErr> {
        if self.backend != DbBackend::Sqlite {
            let changed = self.execute_raw(statement).await?.rows_affected();
            return if rows.is_some_and(|rows| rows != changed) {
                Err(DbErr::RecordNotUpdated)
            } else {
                Ok(Some(changed))
            };
        }
        self.changed().note(&statement.sql);
        self.leave(Piece::Change(statement, rows)).await
    }

    /// Inserts the rows that were left to the end so far, because what follows depends on them.
    ///
    /// # Errors
    /// A database error.
    pub async fn insert_now(&self) -> Result<(), DbErr> {
        if self.backend == DbBackend::Sqlite {
            return self.run_left(None).await.map(drop);
        }
        for statement in together(self.at_end.take()) {
            let (mut connection, failure) = self.step().await?;
            connection.execute_untold(&statement, self.deadline.for_statements()).await?;
            connection.fail(failure)?;
        }
        Ok(())
    }

    /// Only reads from now on.
    pub(super) fn only_reads(self) -> Self {
        Self { savepoint: true.into(), ..self }
    }

    /// Begins the savepoint of the unit of work, on SQLite.
    pub(super) async fn begin_savepoint(&self) -> Result<(), DbErr> {
        self.run_left(None).await.map(drop)
    }

    /// Runs what is left of the unit of work, on SQLite: in one turn, and, if nothing else was written, without a savepoint.
    pub(super) async fn finish(&self) -> Result<(), DbErr> {
        let mut turn = Turn::default();
        turn.add_left(self.at_end.take());
        if self.has_savepoint() {
            // Once the savepoint is released, what turns out to be wrong can no longer be taken back.
            if turn.is_judged() {
                self.run(std::mem::take(&mut turn)).await?;
            }
            turn.add_text(RELEASE);
        }
        self.run(turn).await.map(drop)
    }

    /// Whether all that it writes was left to its end, and can be written together with what others left, on SQLite.
    pub(super) fn leaves_all(&self) -> bool {
        !self.has_savepoint() && !self.has_written() && !self.at_end.is_by_itself()
    }

    /// Whether what it wrote can be taken back by itself.
    pub(super) fn has_savepoint(&self) -> bool {
        self.savepoint.load(Ordering::Relaxed)
    }

    /// Whether it wrote anything.
    pub(super) fn has_written(&self) -> bool {
        self.written.load(Ordering::Relaxed)
    }

    /// Runs what was left to the end so far, and a statement behind it, in a savepoint: what follows may fail.
    async fn run_left(&self, last: Option<Statement>) -> Result<Option<ExecResult>, DbErr> {
        let mut turn = Turn::default();
        let begins = !self.savepoint.swap(true, Ordering::Relaxed);
        if begins {
            turn.add_text(SAVEPOINT);
        }
        turn.add_left(self.at_end.take());
        if let Some(last) = last {
            turn.add((last, None));
        }
        self.run(turn).await
    }

    /// Runs statements of SQLite; what came of the last one.
    async fn run(&self, mut turn: Turn) -> Result<Option<ExecResult>, DbErr> {
        let Some(statement) = turn.statement() else { return Ok(None) };
        let (mut connection, failure) = self.step().await?;
        let mut done = Vec::new();
        let outcome = connection.execute_each(&statement, self.deadline.for_statements(), &mut done).await;
        self.written.fetch_or(!done.is_empty(), Ordering::Relaxed);
        outcome?;
        connection.fail(failure)?;
        turn.judge(&done)?;
        Ok(done.pop())
    }

    /// Reads a row that nobody in the transaction has changed, on SQLite.
    async fn read_as_before(&self, statement: &Statement) -> Result<Option<QueryResult>, DbErr> {
        let mut connection = self.in_time().await?;
        let failure = connection.take_step(&self.steps)?;
        let mut rows = connection.query(statement, self.deadline.for_statements()).await?;
        connection.fail(failure).map(|()| rows.pop())
    }

    /// Ends a snapshot, so that its connection can be used again. One on which this fails is closed.
    pub(super) async fn end(self) {
        let Place::Connection(connection) = self.place else { return };
        let mut connection = connection.lock().await;
        if connection.is_trusted() {
            let _closed = connection.rollback(self.deadline.for_answer()).await;
        }
    }

    /// The connection, unless it is too late for a statement.
    async fn in_time(&self) -> Result<MutexGuard<'_, PooledConnection>, DbErr> {
        match &self.place {
            Place::Group(seat) => Err(seat.leave()),
            Place::Connection(_) if self.deadline.has_passed() => Err(db_error(timed_out())),
            Place::Connection(connection) => Ok(connection.lock().await),
        }
    }

    /// The same, after what others left is written.
    async fn after_others(&self) -> Result<MutexGuard<'_, PooledConnection>, DbErr> {
        let mut connection = self.in_time().await?;
        if let Some(together) = &self.together {
            together.write(&mut connection).await?;
        }
        Ok(connection)
    }

    /// The connection for one more step, and how that is to fail once it is done.
    async fn step(&self) -> Result<(MutexGuard<'_, PooledConnection>, Option<Failure>), DbErr> {
        let mut connection = self.after_others().await?;
        let failure = connection.take_step(&self.steps)?;
        Ok((connection, failure))
    }
}

#[async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.backend
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.changed().note(&statement.sql);
        if self.backend == DbBackend::Sqlite {
            self.at_end.statements.tell(&statement);
            return self.run_left(Some(statement)).await?.ok_or_else(|| DbErr::Custom("nothing was run".to_owned()));
        }
        let (mut connection, failure) = self.step().await?;
        let outcome = connection.execute(&statement, self.deadline.for_statements()).await?;
        connection.fail(failure).map(|()| outcome)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.changed().note(sql);
        if self.backend == DbBackend::Sqlite {
            self.run_left(None).await?;
        }
        self.after_others().await?.execute_text(sql, self.deadline.for_statements()).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.query_all_raw(statement).await?.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let is_read = statement.sql.starts_with("SELECT ");
        if !is_read {
            self.changed().note(&statement.sql);
        }
        if self.backend == DbBackend::Sqlite && (!is_read || self.at_end.has_changes()) {
            self.run_left(None).await?;
        }
        let (mut connection, failure) = self.step().await?;
        let rows = connection.query(&statement, self.deadline.for_statements()).await?;
        connection.fail(failure).map(|()| rows)
    }
}

/// What it reads may be of its own alone.
impl ListSource for Transaction {
    fn known(&self) -> Option<&Known> {
        None
    }

    fn pages(&self) -> crate::error::Result<Option<&ReadCache>> {
        Ok(None)
    }
}
