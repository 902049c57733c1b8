//! Tables full of rows, by plain SQL: a large tenant, one of a quarter of its size whose rows have the same ids, many small ones.
//! In both, some resources have much that belongs to them: the first of each kind.

use sea_orm::{ConnectionTrait, DatabaseConnection};

use super::rows::{Fill, fills, summaries};
use crate::harness::{
    on_postgres,
    sql::{column, scalar},
};

/// The tenant that requests are for, and the one that is compared with it.
pub const LARGE: &str = "default";
pub const MIDDLE: &str = "middle";
/// How many rows of each table the large tenant has. A quarter of it is more than a list walks.
pub const ROWS: u32 = 100_000;
/// How many a table has at least, in all, for its plans to mean anything.
const LEAST: i64 = 2_000;

/// Tables that stay small however much there is of everything else, and why.
const SMALL: &[(&str, &str)] = &[
    ("seaql_migrations", "a row for each migration"),
    ("outbox_head", "one row"),
    ("outbox_relay", "one row"),
    ("feed_head", "one row"),
    ("retention_horizon", "one row"),
    ("pii_keys", "a row for each key"),
    ("audit_queue", "what waits to be chained, every 400 ms"),
    ("list_count_deltas", "what waits to be folded, every 250 ms"),
    ("pipeline_total_deltas", "the same"),
    ("search_queue", "what waits to be indexed"),
    ("search_builds", "what is indexed anew, for each tenant"),
    ("timeline_queue", "what waits to be filled in"),
    ("timeline_builds", "one row"),
    ("timeline_removals", "what waits to be removed"),
];

/// Whether a table stays small.
pub fn is_small(table: &str) -> bool {
    table.starts_with("sqlite_") || SMALL.iter().any(|(small, _)| *small == table)
}
/// How many of a tenant's rows have come before, which number the rows of all tenants.
fn insertion(fill: &Fill, columns: &[String], tenant: &str, count: u32, before: u32) -> String {
    let known = || fill.columns.iter().filter(|(column, _)| columns.iter().any(|known| known == column));
    let names: Vec<_> = known().map(|(column, _)| *column).collect();
    let values: Vec<_> = known().map(|(_, expression)| expression.as_str()).collect();
    format!(
        "INSERT INTO {} (tenant_id, {}) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}), \
         positions(p) AS (SELECT {before}), rows_of(n, t) AS (SELECT n, '{tenant}' FROM c) SELECT t, {} FROM rows_of",
        fill.table,
        names.join(", "),
        values.join(", ")
    )
}

async fn columns(db: &DatabaseConnection, table: &str) -> Vec<String> {
    let sql = match on_postgres() {
        true => format!("SELECT column_name::text FROM information_schema.columns WHERE table_name = '{table}'"),
        false => format!("SELECT name FROM pragma_table_info('{table}')"),
    };
    column(db, &sql).await
}

/// The tables of the schema.
pub async fn tables(db: &DatabaseConnection) -> Vec<String> {
    let sql = match on_postgres() {
        true => "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        false => "SELECT name FROM sqlite_master WHERE type = 'table'",
    };
    column(db, sql).await
}

/// What stands in the way of filling tables fast: how it is dropped, and how it is made again.
async fn in_the_way(db: &DatabaseConnection) -> Vec<[String; 2]> {
    let (dropped, made) = match on_postgres() {
        true => {
            let indexes = "FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid \
                           WHERE relnamespace = 'public'::regnamespace \
                           AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid) ORDER BY relname";
            (
                format!("SELECT 'DROP INDEX ' || relname {indexes}"),
                format!("SELECT pg_get_indexdef(indexrelid) {indexes}"),
            )
        }
        false => {
            let parts = "FROM sqlite_master WHERE type IN ('trigger', 'index') AND sql IS NOT NULL ORDER BY name";
            (format!("SELECT 'DROP ' || type || ' ' || name {parts}"), format!("SELECT sql {parts}"))
        }
    };
    let (dropped, made): (Vec<String>, Vec<String>) = (column(db, &dropped).await, column(db, &made).await);
    dropped.into_iter().zip(made).map(|(dropped, made)| [dropped, made]).collect()
}

/// Fills the tables of a database that has just been migrated, but for a customer of each tenant. What triggers would do is done
/// for all rows at once, and indexes are made afterwards.
pub async fn fill_tables(db: &DatabaseConnection) {
    let in_the_way = in_the_way(db).await;
    let mut statements: Vec<String> = in_the_way.iter().map(|[dropped, _]| dropped.clone()).collect();
    if on_postgres() {
        statements.push("SET session_replication_role = replica".to_owned());
        statements.extend(
            tables(db).await.into_iter().map(|table| format!("ALTER TABLE {table} SET (autovacuum_enabled = false)")),
        );
    } else {
        statements
            .splice(0..0, ["PRAGMA cache_size = -200000; PRAGMA foreign_keys = OFF".to_owned(), "BEGIN".to_owned()]);
    }
    let mut before = 1_000;
    let small = (0..40).map(|number| (format!("small{number}"), 50));
    for (tenant, count) in [(LARGE.to_owned(), ROWS), (MIDDLE.to_owned(), ROWS / 4)].into_iter().chain(small) {
        for fill in fills() {
            let columns = columns(db, fill.table).await;
            statements.push(insertion(&fill, &columns, &tenant, count, before));
        }
        before += count;
    }
    let (indexes, triggers): (Vec<_>, Vec<_>) =
        in_the_way.into_iter().map(|[_, made]| made).partition(|made| !made.starts_with("CREATE TRIGGER"));
    statements.extend(indexes);
    statements.extend(summaries());
    statements.extend(triggers);
    statements.push(if on_postgres() { "SET session_replication_role = origin" } else { "COMMIT" }.to_owned());
    // One session, for what is set in it.
    db.execute_unprepared(&statements.join(";\n")).await.unwrap();
    for table in tables(db).await {
        // SQLite's own tables, and those of the index of its search.
        if table.starts_with("search_index") || table.starts_with("sqlite_") {
            continue;
        }
        let rows: i64 = scalar(db, &format!("SELECT count(*) FROM {table}")).await;
        assert!(is_small(&table) || rows >= LEAST, "{table} has {rows} rows: fill it, or say why it stays small");
    }
}
