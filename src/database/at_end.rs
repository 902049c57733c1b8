//! What a unit of work leaves to its end: rows that nothing in it reads, in one statement.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use sea_orm::{
    DbBackend, Statement,
    sea_query::{InsertStatement, PostgresQueryBuilder, SqlWriterValues, SqliteQueryBuilder},
};

use super::statements::Statements;

/// The most insertions that are one statement: PostgreSQL limits its parameters.
const TOGETHER: usize = 8;

/// The insertions that were left to the end.
pub(super) struct AtEnd {
    insertions: Mutex<Vec<InsertStatement>>,
    /// Who is told of what is so run.
    pub(super) statements: Arc<Statements>,
}

impl AtEnd {
    /// `statements` are told of each insertion, as whoever left it here wrote it.
    pub(super) fn new(statements: &Arc<Statements>) -> Self {
        Self { insertions: Mutex::default(), statements: Arc::clone(statements) }
    }

    pub(super) fn push(&self, backend: DbBackend, insertion: InsertStatement) {
        self.statements.tell_of(|| backend.build(&insertion));
        self.insertions.lock().unwrap_or_else(PoisonError::into_inner).push(insertion);
    }

    /// The statements to run at the end.
    pub(super) fn take(&self, backend: DbBackend) -> Vec<Statement> {
        let insertions = std::mem::take(&mut *self.insertions.lock().unwrap_or_else(PoisonError::into_inner));
        insertions.chunks(TOGETHER).map(|some| together(backend, some)).collect()
    }
}

/// One statement for several insertions that do not depend on each other. SQLite takes several at once, each with its values;
/// PostgreSQL takes one, of which the others are parts.
fn together(backend: DbBackend, insertions: &[InsertStatement]) -> Statement {
    let is_postgres = backend == DbBackend::Postgres;
    let mut sql = SqlWriterValues::new(if is_postgres { "$" } else { "?" }, is_postgres);
    let last = insertions.len().saturating_sub(1);
    for (index, insertion) in insertions.iter().enumerate() {
        let _in_memory = match (is_postgres, index) {
            (false, 0) => Ok(()),
            (false, _) => write!(sql, "; "),
            (true, 0) if last == 0 => Ok(()),
            (true, 0) => write!(sql, "WITH part_0 AS ("),
            (true, index) if index == last => write!(sql, ") "),
            (true, index) => write!(sql, "), part_{index} AS ("),
        };
        match is_postgres {
            true => insertion.build_collect_any_into(&PostgresQueryBuilder, &mut sql),
            false => insertion.build_collect_any_into(&SqliteQueryBuilder, &mut sql),
        }
    }
    let (sql, values) = sql.into_parts();
    Statement { sql, values: Some(values), db_backend: backend }
}
