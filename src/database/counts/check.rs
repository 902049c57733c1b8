//! Checking the counters against counting, while the service runs: each comparison is one statement, which sees both as they
//! were at one instant.

use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};
use uuid::Uuid;

use super::{COUNTERS, Counter, fold, kept_in};
use crate::{
    database::{Database, Transaction},
    error::Result,
    values::Tenant,
};

/// Maximum number of differences that are read at once.
pub const DIFFERENCES: usize = 500;

/// A counter that says something else than counting does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Whose it is.
    pub tenant: Tenant,
    /// The list.
    pub counter: Counter,
    /// Whose list it is; none if the whole tenant's.
    pub owner: Option<Uuid>,
    /// What the counter says.
    pub kept: i64,
    /// How many rows there are.
    pub counted: i64,
}

/// The first tenant by name, of those behind `after`, that has rows or counters.
///
/// # Errors
/// A fault of the database.
pub async fn next_tenant(database: &Database, after: Option<&Tenant>) -> Result<Option<Tenant>> {
    let lists = COUNTERS.iter().filter(|counter| counter.owner.is_none()).map(|counter| counter.table);
    let tables = lists.chain(kept_in(database.backend()).iter().copied());
    let first = tables.map(|table| format!("SELECT min(tenant_id) AS tenant_id FROM {table} WHERE tenant_id > $1"));
    let sql = format!("SELECT min(tenant_id) FROM ({}) AS tenants", first.collect::<Vec<_>>().join(" UNION ALL "));
    let after = after.map_or("", Tenant::as_str).into();
    let row = database.read().query_one_raw(Statement::from_sql_and_values(database.backend(), sql, [after])).await?;
    let name = row.map(|row| row.try_get_by_index::<Option<String>>(0)).transpose()?.flatten();
    Ok(name.map(Tenant::stored))
}

/// The differences of a list's counters in a tenant, by owner and at most [`DIFFERENCES`], of the owners behind `after`.
///
/// # Errors
/// A fault of the database.
pub async fn differences(
    database: &Database,
    tenant: &Tenant,
    counter: Counter,
    after: Option<Uuid>,
) -> Result<Vec<Difference>> {
    let Counter { list, table, owner } = counter;
    let backend = database.backend();
    let kept = kept_in(backend).iter().map(|kept| {
        format!("SELECT owner_id, count AS kept, 0 AS counted FROM {kept} WHERE tenant_id = $1 AND list = '{list}'")
    });
    let counted = match owner {
        None => format!("SELECT $2, 0, count(*) FROM {table} WHERE tenant_id = $1"),
        Some(owner) => format!(
            "SELECT {owner}, 0, count(*) FROM {table} WHERE tenant_id = $1 AND {owner} IS NOT NULL GROUP BY {owner}"
        ),
    };
    let compared: Vec<_> = kept.chain([counted]).collect();
    let behind = if after.is_some() { ">" } else { ">=" };
    let sql = format!(
        "SELECT owner_id, CAST(sum(kept) AS bigint), CAST(sum(counted) AS bigint) FROM ({}) AS compared \
         WHERE owner_id {behind} $2 GROUP BY owner_id HAVING sum(kept) <> sum(counted) ORDER BY owner_id \
         LIMIT {DIFFERENCES}",
        compared.join(" UNION ALL ")
    );
    let values: [Value; 2] = [tenant.as_str().into(), after.unwrap_or_default().into()];
    let rows = database.read().query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    let difference = |row: &sea_orm::QueryResult| {
        let of = Some(row.try_get_by_index::<Uuid>(0)?).filter(|_| owner.is_some());
        let (kept, counted) = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
        Ok(Difference { tenant: tenant.clone(), counter, owner: of, kept, counted })
    };
    rows.iter().map(difference).collect()
}

/// Makes the counter say what counting says at this instant. Changes that are made meanwhile are counted once.
///
/// # Errors
/// A fault of the database.
pub async fn mend(database: &Database, difference: &Difference) -> Result<()> {
    let Difference { tenant, counter, owner, .. } = difference.clone();
    database
        .transact(move |transaction| {
            let tenant = tenant.clone();
            Box::pin(async move {
                match transaction.get_database_backend() {
                    DbBackend::Postgres => mend_postgres(transaction, &tenant, counter, owner).await,
                    _ => mend_sqlite(transaction, &tenant, counter, owner).await,
                }
            })
        })
        .await
}

/// The difference becomes one more change of the counter. It is found and written in one statement: what others commit
/// meanwhile is in their own changes.
async fn mend_postgres(
    transaction: &Transaction,
    tenant: &Tenant,
    counter: Counter,
    owner: Option<Uuid>,
) -> Result<()> {
    fold::lock(transaction).await?;
    let list = counter.list;
    let kept = kept_in(DbBackend::Postgres).iter().map(|kept| {
        format!(
            "SELECT - coalesce(sum(count), 0) AS count FROM {kept} \
             WHERE tenant_id = $1 AND list = '{list}' AND owner_id = $2"
        )
    });
    let all: Vec<_> = kept.chain([counted(counter)]).collect();
    let sql = format!(
        "INSERT INTO list_count_deltas (tenant_id, list, owner_id, count) \
         SELECT $1, '{list}', $2, sum(count) FROM ({}) AS compared HAVING sum(count) <> 0",
        all.join(" UNION ALL ")
    );
    execute(transaction, &sql, tenant, owner).await
}

/// There is one writer: nobody changes rows meanwhile.
async fn mend_sqlite(transaction: &Transaction, tenant: &Tenant, counter: Counter, owner: Option<Uuid>) -> Result<()> {
    let list = counter.list;
    let wrong = format!("DELETE FROM list_counts WHERE tenant_id = $1 AND list = '{list}' AND owner_id = $2");
    execute(transaction, &wrong, tenant, owner).await?;
    let right = format!(
        "INSERT INTO list_counts (tenant_id, list, owner_id, count) \
         SELECT $1, '{list}', $2, count FROM ({}) AS counted WHERE count > 0",
        counted(counter)
    );
    execute(transaction, &right, tenant, owner).await
}

/// A query of how many rows there are.
fn counted(Counter { table, owner, .. }: Counter) -> String {
    let of_owner = owner.map(|owner| format!(" AND {owner} = $2")).unwrap_or_default();
    format!("SELECT count(*) AS count FROM {table} WHERE tenant_id = $1{of_owner}")
}

async fn execute(transaction: &Transaction, sql: &str, tenant: &Tenant, owner: Option<Uuid>) -> Result<()> {
    let values: [Value; 2] = [tenant.as_str().into(), owner.unwrap_or_default().into()];
    transaction.execute_raw(Statement::from_sql_and_values(transaction.get_database_backend(), sql, values)).await?;
    Ok(())
}
