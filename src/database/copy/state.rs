//! How far a copy is, as a table of the target says.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};
use serde_json::Value;

/// The table that says how far a copy is, for as long as it is incomplete.
pub(super) const STATE: &str = "copy_state";

/// The values of a row's primary key.
pub(super) type Key = Vec<Value>;

/// How far a copy is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The place of the table in the list.
    pub(super) table: usize,
    /// The last row that is done.
    pub(super) after: Option<Key>,
    /// How many rows are done in all.
    pub(super) rows: u64,
}

/// Whether a copy into this database was begun, and not completed.
pub(super) async fn is_incomplete(db: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => format!("SELECT 1 FROM pg_class WHERE oid = to_regclass('{STATE}')"),
        _ => format!("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{STATE}'"),
    };
    Ok(db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?.is_some())
}

/// How far the copy is, if it is prepared.
pub(super) async fn progress(target: &DatabaseConnection) -> Result<Option<Progress>, DbErr> {
    if !is_incomplete(target).await? {
        return Ok(None);
    }
    let sql = format!("SELECT progress FROM {STATE}");
    let row = target.query_one_raw(Statement::from_string(target.get_database_backend(), sql)).await?;
    let Some(text) = row.map(|row| row.try_get_by_index::<Option<String>>(0)).transpose()?.flatten() else {
        return Ok(None);
    };
    let (table, after, rows) = serde_json::from_str::<(usize, Option<Key>, u64)>(&text)
        .map_err(|error| DbErr::Custom(format!("{STATE}: {error}")))?;
    Ok(Some(Progress { table, after, rows }))
}

/// Keeps how far the copy is.
pub(super) async fn remember(db: &impl ConnectionTrait, progress: &Progress) -> Result<(), DbErr> {
    let Progress { table, after, rows } = progress;
    let text = serde_json::json!([table, after, rows]).to_string();
    let sql = format!("UPDATE {STATE} SET progress = $1");
    db.execute_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, [text.into()])).await?;
    Ok(())
}
