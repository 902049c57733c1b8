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

/// Counters and their changes.
#[derive(Debug, Clone, Copy)]
struct Ledger {
    counters: &'static str,
    changes: &'static str,
    /// The columns that tell which counter it is.
    key: &'static [&'static str],
    /// The columns that are summed up, besides `count`.
    sums: &'static [&'static str],
}

const LEDGERS: [Ledger; 2] = [
    Ledger {
        counters: "list_counts",
        changes: "list_count_deltas",
        key: &["tenant_id", "list", "owner_id"],
        sums: &[],
    },
    Ledger {
        counters: "pipeline_totals",
        changes: "pipeline_total_deltas",
        key: &["tenant_id", "owner_id", "measure", "day", "currency", "stage", "next_stage"],
        sums: &["amount_high", "amount_low", "from_seconds", "to_seconds"],
    },
];

/// Folds the changes of counters into the counters: of all tenants, or of one. Where another process is at it, there is
/// nothing to do; on SQLite, never. Returns how many waited, at most [`CHANGES`] of the lists and as many of the pipeline.
///
/// # Errors
/// A fault of the database: then the changes are where they were.
pub async fn fold(database: &Database, only: Option<&Tenant>) -> Result<u64> {
    if database.backend() != DbBackend::Postgres {
        return Ok(0);
    }
    let mut all = 0;
    for ledger in LEDGERS {
        let waiting = ledger.waiting(database, only).await?;
        for _ in 0..TRANSACTIONS {
            if waiting == 0 || fold_some(database, ledger, only.cloned()).await? < CHANGES {
                break;
            }
        }
        all += waiting;
    }
    Ok(all)
}

/// How many changes wait to be folded, at most [`CHANGES`] of the lists and as many of the pipeline. Looked at without a
/// transaction that writes: mostly there are none.
///
/// # Errors
/// A fault of the database.
pub async fn changes(database: &Database, only: Option<&Tenant>) -> Result<u64> {
    let mut all = 0;
    for ledger in LEDGERS {
        all += ledger.waiting(database, only).await?;
    }
    Ok(all)
}

async fn fold_some(database: &Database, ledger: Ledger, only: Option<Tenant>) -> Result<u64> {
    database
        .transact(move |transaction| {
            let only = only.clone();
            Box::pin(async move {
                match try_lock(transaction).await? {
                    true => ledger.fold(transaction, only.as_ref()).await,
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
pub(in crate::database) async fn lock(transaction: &Transaction) -> Result<()> {
    let sql = format!("SELECT pg_advisory_xact_lock({LOCK})");
    transaction.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    Ok(())
}

impl Ledger {
    async fn waiting(self, database: &Database, only: Option<&Tenant>) -> Result<u64> {
        let first = format!("SELECT 1 FROM {} {} LIMIT {CHANGES}", self.changes, of_tenant(only));
        let sql = format!("SELECT count(*) FROM ({first}) AS waiting");
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values(only));
        let count =
            database.read().query_one_raw(statement).await?.map(|row| row.try_get_by_index::<i64>(0)).transpose()?;
        Ok(count.map_or(0, i64::unsigned_abs))
    }

    /// The oldest changes of each counter go first, so that no row is subtracted that was not added. A counter that somebody has
    /// made too small ends at none rather than below: it must not keep the others from being folded, and the check finds it.
    async fn fold(self, transaction: &Transaction, only: Option<&Tenant>) -> Result<u64> {
        let fold = Statement::from_sql_and_values(DbBackend::Postgres, self.statement(only), values(only));
        let count = transaction.query_one_raw(fold).await?.map(|row| row.try_get_by_index::<i64>(0)).transpose()?;
        Ok(count.map_or(0, i64::unsigned_abs))
    }

    fn statement(self, only: Option<&Tenant>) -> String {
        let Self { counters, changes, key, sums } = self;
        let columns: Vec<&str> = std::iter::once("count").chain(sums.iter().copied()).collect();
        let all = |one: &dyn Fn(&str) -> String, between: &str| {
            columns.iter().map(|column| one(column)).collect::<Vec<_>>().join(between)
        };
        let keys = key.join(", ");
        let same: Vec<String> = key.iter().map(|column| format!("c.{column} = s.{column}")).collect();
        let same = same.join(" AND ");
        let of_sums: Vec<String> = key.iter().map(|column| format!("s.{column}")).collect();
        format!(
            "WITH taken AS (DELETE FROM {changes} WHERE ctid = ANY (ARRAY(\
             SELECT ctid FROM {changes} {} ORDER BY {keys}, id LIMIT {CHANGES})) RETURNING {keys}, {plain}), \
             sums AS (SELECT {keys}, {summed} FROM taken GROUP BY {keys}), \
             ended AS (DELETE FROM {counters} c USING sums s WHERE {same} AND c.count + s.count <= 0), \
             changed AS (UPDATE {counters} c SET {added} FROM sums s WHERE {same} \
             AND c.count + s.count > 0 AND ({differs})), \
             begun AS (INSERT INTO {counters} ({keys}, {plain}) \
             SELECT {of_sums}, {from_sums} FROM sums s WHERE s.count > 0 AND NOT EXISTS (\
             SELECT 1 FROM {counters} c WHERE {same})) SELECT count(*) FROM taken",
            of_tenant(only),
            plain = columns.join(", "),
            summed = all(&|column| format!("CAST(sum({column}) AS bigint) AS {column}"), ", "),
            added = all(&|column| format!("{column} = c.{column} + s.{column}"), ", "),
            differs = all(&|column| format!("s.{column} <> 0"), " OR "),
            of_sums = of_sums.join(", "),
            from_sums = all(&|column| format!("s.{column}"), ", "),
        )
    }
}

fn of_tenant(only: Option<&Tenant>) -> &'static str {
    if only.is_some() { "WHERE tenant_id = $1" } else { "" }
}

fn values(only: Option<&Tenant>) -> Vec<Value> {
    only.map(|tenant| tenant.as_str().into()).into_iter().collect()
}
