//! Spans of what the database is asked for.

use sea_orm::DbBackend;

use crate::{
    error::Error,
    telemetry::span::{Parent, Span},
};

/// A part of what runs here that the database does.
pub(super) fn database_span(name: &'static str, backend: DbBackend) -> Span {
    database_part(&Parent::current(), name, backend)
}

/// A part of `parent` that the database does.
pub(super) fn database_part(parent: &Parent, name: &'static str, backend: DbBackend) -> Span {
    let mut span = parent.asking(name);
    let system = if backend == DbBackend::Postgres { "postgresql" } else { "sqlite" };
    span.set("db.system.name", system);
    span
}

/// Says why a transaction was not committed. A refusal is no failure.
pub(super) fn not_committed(span: &mut Span, error: &Error) {
    match error.is_fault() {
        true => span.fails("database"),
        false => span.set("crm.outcome", "refused"),
    }
}
