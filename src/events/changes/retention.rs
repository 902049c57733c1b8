//! Retention: a deletion is forgotten after some days, and up to which position that was done is remembered, for the readers
//! who may have missed one.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::{
    database::{Database, Transaction, horizon::Due},
    error::{Error, Result},
};

/// Number of deletions that are forgotten per transaction.
const BATCH: u64 = 1000;

/// Forgets the deletions from before `due`, and returns their number.
///
/// # Errors
/// A database error. What was forgotten by then stays forgotten.
pub async fn purge(database: &Database, due: Due) -> Result<u64> {
    let mut purged = 0;
    loop {
        let last =
            database.transact(move |transaction| Box::pin(async move { purge_batch(transaction, due).await })).await?;
        purged += last;
        if last < BATCH {
            return Ok(purged);
        }
    }
}

async fn purge_batch(transaction: &Transaction, due: Due) -> Result<u64> {
    let backend = transaction.get_database_backend();
    let delete = format!(
        "DELETE FROM resource_changes WHERE (tenant_id, resource_id) IN \
         (SELECT tenant_id, resource_id FROM resource_changes WHERE deleted_at < $1 ORDER BY deleted_at LIMIT {BATCH}) \
         RETURNING tenant_id, position"
    );
    let rows =
        transaction.query_all_raw(Statement::from_sql_and_values(backend, delete, [due.instant().into()])).await?;
    let mut positions = BTreeMap::new();
    for row in &rows {
        // A tenant that cannot be read has no readers.
        let Ok(tenant) = row.try_get_by_index::<String>(0) else { continue };
        let position: i64 = row.try_get_by_index(1)?;
        let last = positions.entry(tenant).or_insert(position);
        *last = position.max(*last);
    }
    if rows.is_empty() {
        return Ok(0);
    }
    let pairs = match backend {
        DbBackend::Postgres => "json_each_text(CAST($1 AS json))",
        _ => "json_each($1)",
    };
    let remember = format!(
        "INSERT INTO resource_changes_purged (tenant_id, position) SELECT key, CAST(value AS BIGINT) FROM {pairs} \
         WHERE true ON CONFLICT (tenant_id) DO UPDATE SET position = excluded.position \
         WHERE excluded.position > resource_changes_purged.position"
    );
    let values = [serde_json::to_string(&positions).map_err(Error::internal)?.into()];
    transaction.execute_raw(Statement::from_sql_and_values(backend, remember, values)).await?;
    Ok(rows.len() as u64)
}
