//! What an error of the database means: for the connection it came from, for the change it came in, for the client.

use std::io;

use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

use crate::error::ApiError;

/// What an error of the database means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A constraint refuses the statement.
    Refused,
    /// Two changes met, and this one gives way: run again, it may succeed.
    Contention,
    /// The database, its disk or the way to it fails. Nothing is known of the connection's state, so that it must not be
    /// used again.
    Unavailable,
    /// The database cannot do it now, and says so: it lacks room, memory or time. The connection's state is known.
    Unable,
    /// The statement is wrong, or what it reads: a fault of this program.
    Program,
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
            _ => Self::Program,
        }
    }

    /// SQLite's result codes (<https://sqlite.org/rescode.html>); the lowest byte is the kind. Of those that are not named
    /// here (FULL, IOERR, READONLY, CANTOPEN, NOMEM, CORRUPT, …) many end the transaction or leave open whether they do.
    fn of_sqlite(code: i32) -> Self {
        match code & 0xff {
            5 => Self::Contention,
            19 => Self::Refused,
            // ERROR, TOOBIG, MISMATCH, RANGE: the statement alone failed.
            1 | 18 | 20 | 25 => Self::Program,
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
            // A prepared statement of another session: a pooler that the service was not told of.
            "26000" | "42P05" => Self::Unavailable,
            // Damaged data, damaged index.
            "XX001" | "XX002" => Self::Unavailable,
            // Cancelled: it took longer than it may. Not allowed: by whoever changed the role's rights.
            "57014" | "42501" => Self::Unable,
            _ => match code.get(..2) {
                // Connection, operator's intervention, system.
                Some("08" | "57" | "58") => Self::Unavailable,
                // Insufficient resources.
                Some("53") => Self::Unable,
                Some("23") => Self::Refused,
                _ => Self::Program,
            },
        }
    }
}

/// Whether SQLite found the file, or the files beside it, read-only.
pub(super) fn is_read_only(error: &DbErr) -> bool {
    matches!(cause(error), Some(sqlx::Error::Database(error)) if error.code().and_then(|code| code.parse().ok()).is_some_and(|code: i32| code & 0xff == 8))
}

/// Whether no answer came in time.
pub(super) fn is_time_out(error: &DbErr) -> bool {
    matches!(cause(error), Some(sqlx::Error::Io(error)) if error.kind() == io::ErrorKind::TimedOut)
}

/// An error of the framework for one of the driver's.
pub(super) fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}

/// What lies behind an error of the framework.
pub(super) fn cause(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

/// What the database refuses, in the one place where its errors become ours.
///
/// Stores look before they write and answer what a client can mend; what is left here are races that only the database
/// sees (a referenced row deleted in the same instant), contention, and faults.
impl From<DbErr> for ApiError {
    fn from(error: DbErr) -> Self {
        if matches!(error.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_))) || is_sqlite_restrict(&error) {
            return Self::bad_request("a resource that the request refers to was deleted in the meantime");
        }
        // Whatever keeps a connection from being opened.
        if matches!(error, DbErr::Conn(_)) {
            return Self::unavailable(&error);
        }
        match cause(&error).map_or(Fault::Program, Fault::of) {
            Fault::Contention => Self::contention(&error),
            Fault::Unavailable | Fault::Unable => Self::unavailable(&error),
            Fault::Refused | Fault::Program => Self::internal(&error),
        }
    }
}

/// `SQLITE_CONSTRAINT_TRIGGER`: how SQLite reports an immediate foreign key that a delete breaks.
fn is_sqlite_restrict(error: &DbErr) -> bool {
    matches!(cause(error), Some(sqlx::Error::Database(database)) if database.code().as_deref() == Some("1811"))
}
