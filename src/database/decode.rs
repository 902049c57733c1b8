//! Values of rows that may be damaged.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sea_orm::DbErr;

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
