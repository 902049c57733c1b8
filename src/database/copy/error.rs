//! Why a copy could not be made.

use std::fmt;

use sea_orm::DbErr;

use crate::database::{migrate::SchemaError, reach::Unreachable};

/// Why a copy could not be made.
#[derive(Debug)]
pub enum CopyError {
    /// One of the two must be SQLite, and the other one PostgreSQL.
    SameKind,
    /// The source does not exist, or is not this program's.
    Source(String),
    /// The target has data already, and it is not that of a copy.
    NotEmpty(String),
    /// One of the two, which its message names.
    Unreachable(Unreachable),
    /// The source is being written to.
    Locked(DbErr),
    /// What was copied is not what the source has.
    Differs(String),
    /// The schema of one of the two.
    Schema(SchemaError),
    /// A fault of one of the two.
    Database(DbErr),
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameKind => write!(
                f,
                "copies are made between SQLite and PostgreSQL: one of --from and --to must begin with sqlite://, and the \
                 other one with postgres://"
            ),
            Self::Source(what) => write!(f, "--from: {what}"),
            Self::NotEmpty(table) => write!(
                f,
                "--to: the table {table} has rows already; a copy needs an empty database (createdb), or one with an \
                 incomplete copy"
            ),
            Self::Locked(error) => {
                write!(f, "--from: the database cannot be locked, stop the service that writes to it: {error}")
            }
            Self::Differs(what) => {
                write!(f, "{what}: the source was written to since the copy was begun; begin anew with --restart")
            }
            Self::Unreachable(error) => write!(f, "{error}"),
            Self::Schema(error) => write!(f, "{error}"),
            Self::Database(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for CopyError {}

impl From<DbErr> for CopyError {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl From<SchemaError> for CopyError {
    fn from(error: SchemaError) -> Self {
        Self::Schema(error)
    }
}

impl From<Unreachable> for CopyError {
    fn from(error: Unreachable) -> Self {
        Self::Unreachable(error)
    }
}
