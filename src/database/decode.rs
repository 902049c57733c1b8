//! Values of rows that may be damaged, or missing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sea_orm::{ColIdx, DbErr, QueryResult, TryGetError, TryGetable, sqlx::Row};

use super::fault::db_error;

/// What a row holds.
///
/// # Errors
/// What is wrong with a value, if the row is damaged.
pub(crate) fn decode<T>(read: impl FnOnce() -> Result<T, DbErr>) -> Result<T, String> {
    // The driver panics at what PostgreSQL has of times and `chrono` has not, such as infinity.
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => Err("a value is out of range".to_owned()),
    }
}

/// A text of a column that has none in most rows. `String` of SeaORM names the column of each that is missing, in an error that
/// `Option` throws away: that was a third of what a list allocates.
///
/// # Errors
/// There is none, or something else.
pub(crate) fn stored_text<I: ColIdx>(row: &QueryResult, column: I) -> Result<String, TryGetError> {
    let text: Result<Option<String>, _> = match (row.try_as_sqlite_row(), row.try_as_pg_row()) {
        (Some(row), _) => row.try_get(column.as_sqlx_sqlite_index()),
        (None, Some(row)) => row.try_get(column.as_sqlx_postgres_index()),
        (None, None) => return String::try_get_by(row, column),
    };
    let text = text.map_err(|error| TryGetError::DbErr(db_error(error)))?;
    text.ok_or_else(|| TryGetError::Null(String::new()))
}
