//! What an error of the database means: for the connection it came from, for the change it came in, for the client.

use std::io;

use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

use crate::error::Error;

/// What an error of the database means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The statement violates a constraint.
    ConstraintViolation,
    /// Two changes collided and this one gave way: run again, it may succeed.
    Contention,
    /// The database, its disk or the way to it fails. The connection's state is unknown, so it must not be used again.
    Unavailable,
    /// The server declines for now: it lacks room, memory, time or a permission. The connection's state is known.
    Declined,
    /// The statement is wrong, or what it reads: a bug of this program.
    Bug,
}

impl Fault {
    pub(super) fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                match error.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
                    Some(_) => Self::of_sqlite(code.parse().unwrap_or_default()),
                    None => Self::of_postgres(&code),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Unavailable,
            _ => Self::Bug,
        }
    }

    /// SQLite's result codes (<https://sqlite.org/rescode.html>); the lowest byte is the primary code. Many of those that
    /// are not named here (FULL, IOERR, READONLY, CANTOPEN, NOMEM, CORRUPT, …) end the transaction, or may have.
    fn of_sqlite(code: i32) -> Self {
        match code & 0xff {
            5 => Self::Contention,
            19 => Self::ConstraintViolation,
            // ERROR, TOOBIG, MISMATCH, RANGE: the statement alone failed.
            1 | 18 | 20 | 25 => Self::Bug,
            _ => Self::Unavailable,
        }
    }

    /// PostgreSQL's SQLSTATE (appendix A of its manual).
    fn of_postgres(code: &str) -> Self {
        match code {
            // Serialization failure, deadlock, lock not available.
            "40001" | "40P01" | "55P03" => Self::Contention,
            // Read-only: a primary that became a standby. Idle in transaction for too long.
            "25006" | "25P03" => Self::Unavailable,
            // A prepared statement of another session: a pooler that `CRM_DATABASE_POOLER` does not name.
            "26000" | "42P05" => Self::Unavailable,
            // Damaged data, damaged index.
            "XX001" | "XX002" => Self::Unavailable,
            // Cancelled by a timeout. Insufficient privilege: somebody changed the role's rights.
            "57014" | "42501" => Self::Declined,
            _ => match code.get(..2) {
                // Connection, operator's intervention, system.
                Some("08" | "57" | "58") => Self::Unavailable,
                // Insufficient resources.
                Some("53") => Self::Declined,
                Some("23") => Self::ConstraintViolation,
                _ => Self::Bug,
            },
        }
    }
}

/// Whether SQLite found the file, or the files beside it, read-only.
pub(super) fn is_read_only(error: &DbErr) -> bool {
    let Some(sqlx::Error::Database(error)) = driver_error(error) else { return false };
    error.code().and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| code & 0xff == 8)
}

/// Whether no answer came in time.
pub(super) fn is_timeout(error: &DbErr) -> bool {
    matches!(driver_error(error), Some(sqlx::Error::Io(error)) if error.kind() == io::ErrorKind::TimedOut)
}

/// The driver's error as one of the ORM.
pub(super) fn db_error(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}

/// The driver's error behind one of the ORM.
pub(super) fn driver_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

/// The one place where errors of the database become ours.
///
/// Stores check what a client can correct before they write. What is left are races that only the database sees (a
/// referenced row deleted in the same instant), contention, and faults.
impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if matches!(error.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_))) || is_sqlite_restrict(&error) {
            return Self::invalid("a resource that the request refers to was deleted in the meantime");
        }
        if is_claimed(&error) {
            return Self::claimed();
        }
        // Whatever keeps a connection from being opened.
        if matches!(error, DbErr::Conn(_)) {
            return Self::unavailable(&error);
        }
        match driver_error(&error).map_or(Fault::Bug, Fault::of) {
            Fault::Contention => Self::contention(&error),
            Fault::Unavailable | Fault::Declined => Self::unavailable(&error),
            Fault::ConstraintViolation | Fault::Bug => Self::internal(&error),
        }
    }
}

/// `SQLITE_CONSTRAINT_TRIGGER`: how SQLite reports an immediate foreign key that a delete breaks.
fn is_sqlite_restrict(error: &DbErr) -> bool {
    matches!(driver_error(error), Some(sqlx::Error::Database(database)) if database.code().as_deref() == Some("1811"))
}

/// Whether the key of a request is taken: in the table of claims, whose rows have no other.
fn is_claimed(error: &DbErr) -> bool {
    const CLAIMS: &str = "idempotent";
    let Some(sqlx::Error::Database(error)) = driver_error(error) else { return false };
    let is_of_claims = match error.table() {
        Some(table) => table == CLAIMS,
        None => error
            .message()
            .strip_prefix("UNIQUE constraint failed: ")
            .is_some_and(|column| column.strip_prefix(CLAIMS).is_some_and(|column| column.starts_with('.'))),
    };
    is_of_claims && error.is_unique_violation()
}
