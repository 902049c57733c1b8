//! The target: emptied, its triggers off; in the end, complete.

use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, Statement, TransactionTrait,
};
use serde_json::Value;

use super::{
    error::CopyError,
    rows::count,
    state::{Progress, STATE, is_incomplete, remember},
    tables::Table,
};
use crate::{
    config::DatabaseUrl,
    database::{
        connect,
        migrate::{self, INCOMPLETE, SchemaError},
        reach::reach,
        statistics::OPTIMIZE,
    },
};

/// Opens the target with today's schema. With data of its own it is refused.
pub(super) async fn open(
    to: &DatabaseUrl,
    is_restarted: bool,
    wait: Duration,
) -> Result<DatabaseConnection, CopyError> {
    reach(to, wait).await?;
    if !matches!(migrate::check(to).await, Err(SchemaError::Incomplete)) {
        migrate::up(to, None, wait).await?;
    }
    let target = connect::session_of(to).await?;
    let has_copy = is_incomplete(&target).await?;
    if has_copy && is_restarted {
        target.execute_unprepared(&format!("UPDATE {STATE} SET progress = NULL")).await?;
    }
    if !has_copy {
        // Others have a row from the start.
        for table in ["customers", "idempotent", "audit_logs", "outbox", "inbox_events", "pii_keys"] {
            if count(&target, table).await? > 0 {
                return Err(CopyError::NotEmpty(table.to_owned()));
            }
        }
    }
    Ok(target)
}

/// Empties the tables and turns their triggers off, in one transaction. SQLite knows no such switch: there they are kept aside.
pub(super) async fn prepare(target: &DatabaseConnection, tables: &[Table]) -> Result<(), DbErr> {
    let is_postgres = target.get_database_backend() == DbBackend::Postgres;
    let is_first = !is_incomplete(target).await?;
    let transaction = target.begin().await?;
    if is_first {
        transaction.execute_unprepared(&format!("CREATE TABLE {STATE} (progress text, triggers text)")).await?;
        let triggers = if is_postgres { String::new() } else { take_triggers(&transaction).await? };
        let sql = format!("INSERT INTO {STATE} (triggers) VALUES ($1)");
        let insert = Statement::from_sql_and_values(transaction.get_database_backend(), sql, [triggers.into()]);
        transaction.execute_raw(insert).await?;
        let mark = format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{INCOMPLETE}', 0)");
        transaction.execute_unprepared(&mark).await?;
    }
    // Those that refer to others come last.
    for Table { name, .. } in tables.iter().rev() {
        if is_postgres && is_first {
            transaction.execute_unprepared(&format!("ALTER TABLE {name} DISABLE TRIGGER USER")).await?;
        }
        transaction.execute_unprepared(&format!("DELETE FROM {name}")).await?;
    }
    remember(&transaction, &Progress::default()).await?;
    transaction.commit().await
}

/// Removes all triggers; returns what makes them, as JSON.
async fn take_triggers(transaction: &DatabaseTransaction) -> Result<String, DbErr> {
    let sql = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid";
    let rows = transaction.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
    let mut statements = Vec::new();
    for row in rows {
        statements.push(row.try_get_by_index::<String>(1)?);
        let name: String = row.try_get_by_index(0)?;
        transaction.execute_unprepared(&format!("DROP TRIGGER \"{name}\"")).await?;
    }
    Ok(Value::from(statements).to_string())
}

/// What the target numbers by itself goes on behind the source's last number, which may be that of a row that is gone.
pub(super) async fn continue_numbers(
    source: &DatabaseTransaction,
    target: &DatabaseConnection,
    tables: &[Table],
) -> Result<(), DbErr> {
    let last = |backend, name: &str| {
        let sql = match backend {
            DbBackend::Postgres => {
                "SELECT s.last_value FROM pg_sequences s WHERE s.schemaname = current_schema() AND s.sequencename = \
                 split_part(pg_get_serial_sequence($1, 'seq'), '.', 2)"
            }
            _ => "SELECT seq FROM sqlite_sequence WHERE name = $1",
        };
        Statement::from_sql_and_values(backend, sql, [name.into()])
    };
    let numbered = "outbox";
    if !tables.iter().any(|table| table.name == numbered) {
        return Ok(());
    }
    let row = source.query_one_raw(last(source.get_database_backend(), numbered)).await?;
    let Some(number) = row.map(|row| row.try_get_by_index::<Option<i64>>(0)).transpose()?.flatten() else {
        return Ok(());
    };
    let sql = match target.get_database_backend() {
        DbBackend::Postgres => format!("SELECT setval(pg_get_serial_sequence('{numbered}', 'seq'), {number})"),
        _ => format!(
            "DELETE FROM sqlite_sequence WHERE name = '{numbered}'; \
             INSERT INTO sqlite_sequence (name, seq) VALUES ('{numbered}', {number})"
        ),
    };
    target.execute_unprepared(&sql).await.map(drop)
}

/// Turns the triggers on again, and forgets that this was a copy; then the planner gets to know it.
pub(super) async fn complete(target: &DatabaseConnection, tables: &[Table]) -> Result<(), CopyError> {
    let transaction = target.begin().await?;
    let is_postgres = target.get_database_backend() == DbBackend::Postgres;
    if is_postgres {
        for Table { name, .. } in tables {
            transaction.execute_unprepared(&format!("ALTER TABLE {name} ENABLE TRIGGER USER")).await?;
        }
    } else {
        // The index is of what the documents hold, and is written by a trigger as a rule.
        transaction.execute_unprepared("INSERT INTO search_index (search_index) VALUES ('rebuild')").await?;
        let broken =
            Statement::from_string(DbBackend::Sqlite, "SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1");
        if let Some(row) = transaction.query_one_raw(broken).await? {
            let table: String = row.try_get_by_index(0)?;
            return Err(CopyError::Differs(format!("a row of {table} refers to one that is not there")));
        }
        let sql = format!("SELECT triggers FROM {STATE}");
        let row = transaction.query_one_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
        let text: String = row.map_or(Ok(String::new()), |row| row.try_get_by_index(0))?;
        let statements: Vec<String> =
            serde_json::from_str(&text).map_err(|error| DbErr::Custom(format!("{STATE}: {error}")))?;
        for statement in statements {
            transaction.execute_unprepared(&statement).await?;
        }
    }
    transaction.execute_unprepared(&format!("DROP TABLE {STATE}")).await?;
    let mark = format!("DELETE FROM seaql_migrations WHERE version = '{INCOMPLETE}'");
    transaction.execute_unprepared(&mark).await?;
    transaction.commit().await?;
    target.execute_unprepared(if is_postgres { "ANALYZE" } else { OPTIMIZE }).await?;
    Ok(())
}
