//! Lists of values in a statement, as one parameter: so the statement is the same whatever their number, and is prepared once.

use std::fmt::Display;

use sea_orm::{DbBackend, Value};

/// Whether a column is among the values of a parameter, which on PostgreSQL have this type.
pub(super) fn contains(backend: DbBackend, column: &str, parameter: &str, postgres_type: &str) -> String {
    match backend {
        DbBackend::Postgres => format!("{column} = ANY(CAST({parameter} AS {postgres_type}[]))"),
        _ => format!("{column} IN (SELECT value FROM json_each({parameter}))"),
    }
}

/// A parameter with these numbers.
pub(super) fn of_numbers(backend: DbBackend, numbers: impl Iterator<Item = i64>) -> Value {
    joined(backend, numbers)
}

/// A parameter with these names of tenants or types, in which nothing needs to be escaped.
pub(super) fn of_names<'n>(backend: DbBackend, names: impl Iterator<Item = &'n String>) -> Value {
    joined(backend, names.map(|name| format!("\"{name}\"")))
}

fn joined(backend: DbBackend, items: impl Iterator<Item = impl Display>) -> Value {
    let items = items.map(|item| item.to_string()).collect::<Vec<_>>().join(",");
    match backend {
        DbBackend::Postgres => format!("{{{items}}}").into(),
        _ => format!("[{items}]").into(),
    }
}
