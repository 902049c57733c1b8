//! The transaction that a unit of work runs in.

use std::sync::{Arc, PoisonError};

use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement, Value, prelude::async_trait::async_trait,
    sea_query::InsertStatement,
};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use super::{
    at_end::AtEnd,
    deadline::{Deadline, timed_out},
    fault::db_error,
    list::known::{Known, ListSource},
    pool::PooledConnection,
    row_cache::ChangedRows,
    steps::{Failure, Steps},
};
use crate::values::Tenant;

/// An open transaction for one unit of work: statements run in it until the deadline. Only the write executor
/// ([`super::executor`]) begins and ends it.
pub struct Transaction {
    pub(super) connection: Arc<Mutex<PooledConnection>>,
    pub(super) backend: DbBackend,
    pub(super) deadline: Deadline,
    pub(super) steps: Arc<Steps>,
    pub(super) at_end: AtEnd,
    changed: std::sync::Mutex<ChangedRows>,
}

impl Transaction {
    pub(super) fn new(
        connection: Arc<Mutex<PooledConnection>>,
        backend: DbBackend,
        deadline: Deadline,
        steps: Arc<Steps>,
        at_end: AtEnd,
    ) -> Self {
        Self { connection, backend, deadline, steps, at_end, changed: std::sync::Mutex::default() }
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

    /// The rows that it changes.
    pub(super) fn changed_rows(self) -> ChangedRows {
        self.changed.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) -> std::sync::MutexGuard<'_, ChangedRows> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Inserts rows once the unit of work has returned, together with all that is so inserted: one statement takes one turn
    /// with the database. Nothing in the unit of work sees these rows, unless after [`Self::insert_now`].
    pub fn insert_at_end(&self, rows: InsertStatement) {
        self.changed().inserts();
        self.at_end.push(self.backend, rows);
    }

    /// Inserts the rows that were left to the end so far, because what follows depends on them.
    ///
    /// # Errors
    /// A database error.
    pub async fn insert_now(&self) -> Result<(), DbErr> {
        for statement in self.at_end.take(self.backend) {
            self.execute_at_end(&statement).await?;
        }
        Ok(())
    }

    /// Runs a statement that was left to the end.
    pub(super) async fn execute_at_end(&self, statement: &Statement) -> Result<(), DbErr> {
        self.execute_told(statement).await.map(drop)
    }

    /// Runs statements that have their values in common, in one turn with SQLite's thread; how many rows they changed. PostgreSQL takes
    /// one alone.
    ///
    /// # Errors
    /// A database error.
    pub async fn execute_together(&self, statements: &[String], values: Vec<Value>) -> Result<u64, DbErr> {
        let of = |sql| Statement::from_sql_and_values(self.backend, sql, values.clone());
        for sql in statements {
            self.changed().note(sql);
            self.at_end.statements.tell_of(|| of(sql.clone()));
        }
        self.execute_told(&of(statements.join("; "))).await.map(|done| done.rows_affected())
    }

    async fn execute_told(&self, statement: &Statement) -> Result<ExecResult, DbErr> {
        let (mut connection, failure) = self.step().await?;
        let outcome = connection.execute_untold(statement, self.deadline.for_statements()).await?;
        connection.fail(failure).map(|()| outcome)
    }

    /// Ends a snapshot, so that its connection can be used again. One on which this fails is closed.
    pub(super) async fn end(self) {
        let mut connection = self.connection.lock().await;
        if connection.is_trusted() {
            let _closed = connection.rollback(self.deadline.for_answer()).await;
        }
    }

    /// The connection, unless it is too late for a statement.
    async fn in_time(&self) -> Result<MutexGuard<'_, PooledConnection>, DbErr> {
        match self.deadline.has_passed() {
            true => Err(db_error(timed_out())),
            false => Ok(self.connection.lock().await),
        }
    }

    /// The connection for one more step, and how that is to fail once it is done.
    async fn step(&self) -> Result<(MutexGuard<'_, PooledConnection>, Option<Failure>), DbErr> {
        let mut connection = self.in_time().await?;
        let failure = self.steps.take();
        match failure {
            Some(Failure::NotDone) => connection.fail(failure)?,
            Some(Failure::AnswerLost) | None => {}
        }
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
        let (mut connection, failure) = self.step().await?;
        let outcome = connection.execute(&statement, self.deadline.for_statements()).await?;
        connection.fail(failure).map(|()| outcome)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.changed().note(sql);
        self.in_time().await?.execute_text(sql, self.deadline.for_statements()).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.query_all_raw(statement).await?.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        if !statement.sql.starts_with("SELECT ") {
            self.changed().note(&statement.sql);
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
}
