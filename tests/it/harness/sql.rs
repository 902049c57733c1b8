//! Queries around the service.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, QueryResult, Statement, TransactionTrait, TryGetable};

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

/// A query of the numbers from 1 to `count`, in the column `n`.
pub fn numbers(count: impl std::fmt::Display) -> String {
    format!("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) SELECT n FROM c")
}

/// An expression that is another id in each row.
pub fn new_id() -> &'static str {
    if on_postgres() { "gen_random_uuid()" } else { "randomblob(16)" }
}

/// How the database would answer a query of many rows.
pub async fn plan(database: &DatabaseConnection, query: &str) -> String {
    let is_postgres = database.get_database_backend() == DbBackend::Postgres;
    let (explain, column) = if is_postgres { ("EXPLAIN", "QUERY PLAN") } else { ("EXPLAIN QUERY PLAN", "detail") };
    let transaction = database.begin().await.unwrap();
    // Otherwise the planner would read the empty tables whole.
    if is_postgres {
        transaction
            .execute_unprepared(
                "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off",
            )
            .await
            .unwrap();
    }
    let lines = rows(&transaction, &format!("{explain} {query}")).await;
    lines.iter().map(|line| line.try_get::<String>("", column).unwrap()).collect::<Vec<_>>().join("\n")
}
