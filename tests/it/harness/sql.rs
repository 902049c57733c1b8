//! Queries around the service.

use sea_orm::{ConnectionTrait, QueryResult, Statement, TryGetable};

use super::on_postgres;

pub async fn rows(connection: &impl ConnectionTrait, sql: &str) -> Vec<QueryResult> {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    connection.query_all_raw(statement).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The first column of each row.
pub async fn column<T: TryGetable>(connection: &impl ConnectionTrait, sql: &str) -> Vec<T> {
    rows(connection, sql).await.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

/// The first column of the only row.
pub async fn scalar<T: TryGetable>(connection: &impl ConnectionTrait, sql: &str) -> T {
    let mut values = column(connection, sql).await;
    assert_eq!(values.len(), 1, "rows of {sql}");
    values.remove(0)
}

/// The table of the resources at this path: `/follow-ups`.
pub fn table(list: &str) -> String {
    list.trim_start_matches('/').replace('-', "_")
}

/// An id as a literal: SQLite stores its bytes.
pub fn uuid_literal(id: &str) -> String {
    if on_postgres() { format!("CAST('{id}' AS uuid)") } else { format!("x'{}'", id.replace('-', "")) }
}
