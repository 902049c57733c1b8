//! The index by which text is found: tables and triggers of its own, beside the rows of resources.
//!
//! A resource has a [document]: the [normal form](crate::values::normal_form) of its text, and the [parts](crate::values::grams)
//! of its words, which FTS5 (SQLite) or GIN (PostgreSQL) has an index of. It is written in the transaction of the change.
//! Triggers delete it together with its text, and note in `search_queue` that a new one is missing.

pub mod build;
pub mod document;
pub mod lookup;
