//! Folding the changes of counters into the counters, on PostgreSQL.

use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};

use crate::{
    database::{Database, Transaction},
    error::Result,
    values::Tenant,
};

/// The key of PostgreSQL's advisory lock: "crm" and a number in ASCII. Whoever writes counters holds it.
const LOCK: i64 = 0x63_72_6d_02;
/// Maximum number of changes that are folded in one transaction.
pub const CHANGES: u64 = 5_000;
/// Maximum number of transactions that follow each other without a pause.
const TRANSACTIONS: usize = 20;

/// Folds the changes of counters into the counters: of all tenants, or of one. Where another process is at it, there is
/// nothing to do; on SQLite, never. Returns how many waited, at most [`CHANGES`].
///
/// # Errors
/// A fault of the database: then the changes are where they were.
pub async fn fold(database: &Database, only: Option<&Tenant>) -> Result<u64> {
    if database.backend() != DbBackend::Postgres {
        return Ok(0);
    }
    let waiting = changes(database, only).await?;
    for _ in 0..TRANSACTIONS {
        if waiting == 0 || fold_some(database, only.cloned()).await? < CHANGES {
            break;
        }
    }
    Ok(waiting)
}

/// How many changes wait to be folded, at most [`CHANGES`]. Looked at without a transaction that writes: mostly there are none.
///
/// # Errors
/// A fault of the database.
pub async fn changes(database: &Database, only: Option<&Tenant>) -> Result<u64> {
    let first = format!("SELECT 1 FROM list_count_deltas {} LIMIT {CHANGES}", of_tenant(only));
    let sql = format!("SELECT count(*) FROM ({first}) AS waiting");
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values(only));
    let count =
        database.read().query_one_raw(statement).await?.map(|row| row.try_get_by_index::<i64>(0)).transpose()?;
    Ok(count.map_or(0, i64::unsigned_abs))
}

async fn fold_some(database: &Database, only: Option<Tenant>) -> Result<u64> {
    database
        .transact(move |transaction| {
            let only = only.clone();
            Box::pin(async move {
                match try_lock(transaction).await? {
                    true => fold_locked(transaction, only.as_ref()).await,
                    false => Ok(0),
                }
            })
        })
        .await
}

/// Whoever folds is alone: two would have to wait for each other, and could see a row's end without its beginning.
async fn try_lock(transaction: &Transaction) -> Result<bool> {
    let sql = format!("SELECT pg_try_advisory_xact_lock({LOCK})");
    let row = transaction.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default())
}

/// Waits until nobody folds, and keeps others from it until the transaction ends.
pub(super) async fn lock(transaction: &Transaction) -> Result<()> {
    let sql = format!("SELECT pg_advisory_xact_lock({LOCK})");
    transaction.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    Ok(())
}

/// The oldest changes of each list go first, so that no row is subtracted that was not added. A counter that somebody has made
/// too small ends at none rather than below: it must not keep the others from being folded, and the check finds it.
async fn fold_locked(transaction: &Transaction, only: Option<&Tenant>) -> Result<u64> {
    let sql = format!(
        "WITH taken AS (DELETE FROM list_count_deltas WHERE ctid = ANY (ARRAY(\
         SELECT ctid FROM list_count_deltas {} ORDER BY tenant_id, list, owner_id, id LIMIT {CHANGES})) \
         RETURNING tenant_id, list, owner_id, count), \
         sums AS (SELECT tenant_id, list, owner_id, CAST(sum(count) AS bigint) AS change FROM taken \
         GROUP BY tenant_id, list, owner_id), \
         ended AS (DELETE FROM list_counts c USING sums s WHERE c.tenant_id = s.tenant_id AND c.list = s.list \
         AND c.owner_id = s.owner_id AND c.count + s.change <= 0), \
         changed AS (UPDATE list_counts c SET count = c.count + s.change FROM sums s WHERE c.tenant_id = s.tenant_id \
         AND c.list = s.list AND c.owner_id = s.owner_id AND c.count + s.change > 0 AND s.change <> 0), \
         begun AS (INSERT INTO list_counts (tenant_id, list, owner_id, count) \
         SELECT s.tenant_id, s.list, s.owner_id, s.change FROM sums s WHERE s.change > 0 AND NOT EXISTS (\
         SELECT 1 FROM list_counts c WHERE c.tenant_id = s.tenant_id AND c.list = s.list AND c.owner_id = s.owner_id)) \
         SELECT count(*) FROM taken",
        of_tenant(only)
    );
    let fold = Statement::from_sql_and_values(DbBackend::Postgres, sql, values(only));
    let count = transaction.query_one_raw(fold).await?.map(|row| row.try_get_by_index::<i64>(0)).transpose()?;
    Ok(count.map_or(0, i64::unsigned_abs))
}

fn of_tenant(only: Option<&Tenant>) -> &'static str {
    if only.is_some() { "WHERE tenant_id = $1" } else { "" }
}

fn values(only: Option<&Tenant>) -> Vec<Value> {
    only.map(|tenant| tenant.as_str().into()).into_iter().collect()
}
