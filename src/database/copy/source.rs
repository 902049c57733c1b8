//! The source: locked, and made ready to be read.

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};

use super::{
    error::CopyError,
    tables::{SUMMED, Summed, names},
};

/// Locks all that is to be read: it can be read by others, and not written to.
pub(super) async fn lock(source: DatabaseConnection) -> Result<DatabaseTransaction, CopyError> {
    let immediate =
        TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..Default::default() };
    let transaction = source.begin_with_options(immediate).await.map_err(CopyError::Locked)?;
    if transaction.get_database_backend() == DbBackend::Postgres {
        let tables = names(&transaction).await?.join(", ");
        let lock = format!("SET LOCAL lock_timeout = '10s'; LOCK TABLE {tables} IN SHARE MODE");
        transaction.execute_unprepared(&lock).await.map_err(CopyError::Locked)?;
        for Summed { table, stand_in, changes, key, sums } in &SUMMED {
            let each: Vec<_> = sums.iter().map(|sum| format!("CAST(sum({sum}) AS bigint) AS {sum}")).collect();
            let not_nothing: Vec<_> = sums.iter().map(|sum| format!("sum({sum}) <> 0")).collect();
            let columns = format!("{key}, {}", sums.join(", "));
            let sum = format!(
                "CREATE TEMPORARY TABLE {stand_in} ON COMMIT DROP AS SELECT {key}, {} FROM \
                 (SELECT {columns} FROM {table} UNION ALL SELECT {columns} FROM {changes}) AS changes \
                 GROUP BY {key} HAVING {}; CREATE INDEX ON {stand_in} ({key})",
                each.join(", "),
                not_nothing.join(" OR ")
            );
            transaction.execute_unprepared(&sum).await?;
        }
    }
    Ok(transaction)
}
