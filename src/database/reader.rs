//! Reading, within a deadline.

use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement, prelude::async_trait::async_trait,
};

use super::{
    Database,
    deadline::{Deadline, no_answer},
    fault::{self, Fault, failed},
    file::gone,
    steps::Steps,
};

/// Where to read: never sees half a change, and cannot write. All that is read through it shares a deadline.
pub struct Reader<'d> {
    pub(super) database: &'d Database,
    pub(super) deadline: Deadline,
}

impl Reader<'_> {
    /// The rows of a query. It is asked once more, on a fresh connection, where the first one turns out to be lost.
    async fn query(&self, statement: &Statement) -> Result<Vec<QueryResult>, DbErr> {
        let outcome = match self.query_once(statement).await {
            Err(error) if is_lost(&error) && !self.deadline.is_over() => self.query_once(statement).await,
            outcome => outcome,
        };
        self.report(&outcome);
        outcome
    }

    async fn query_once(&self, statement: &Statement) -> Result<Vec<QueryResult>, DbErr> {
        if self.deadline.is_over() {
            return Err(failed(no_answer()));
        }
        if self.database.file.as_ref().is_some_and(|file| !file.is_in_place()) {
            return Err(failed(gone()));
        }
        let until = self.deadline.for_statements();
        let mut connection = self.database.readers.get(until).await?;
        if !self.database.pooler.shares_sessions() {
            return connection.query(statement, until).await;
        }
        // Through such a pooler only a transaction stays with its session.
        let left = self.deadline.left().as_millis().max(1);
        let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {left}");
        connection.begin(&begin, until, &Steps::default()).await?;
        let rows = connection.query(statement, until).await;
        if rows.is_ok() {
            connection.commit("COMMIT", until, &Steps::default()).await?;
        } else if connection.is_trusted() {
            connection.rollback(until).await?;
        }
        rows
    }

    /// SQLite's disk is looked after by the writer, a server by [`super::probe`]: here it is only said that there is cause.
    fn report(&self, outcome: &Result<Vec<QueryResult>, DbErr>) {
        if outcome.as_ref().is_err_and(is_lost) {
            self.database.health.suspect_reads();
        }
    }
}

/// Whether another connection may well answer.
fn is_lost(error: &DbErr) -> bool {
    fault::cause(error).is_some_and(|error| Fault::of(error) == Fault::Unavailable)
}

#[async_trait]
impl ConnectionTrait for Reader<'_> {
    fn get_database_backend(&self) -> DbBackend {
        self.database.backend()
    }

    async fn execute_raw(&self, _statement: Statement) -> Result<ExecResult, DbErr> {
        Err(only_reads())
    }

    async fn execute_unprepared(&self, _sql: &str) -> Result<ExecResult, DbErr> {
        Err(only_reads())
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.query(&statement).await?.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.query(&statement).await
    }
}

fn only_reads() -> DbErr {
    DbErr::Custom("nothing but the write executor executes statements".to_owned())
}
