//! Checking the totals of the pipeline against counting, while the service runs: each comparison is one statement, which sees
//! both as they were at one instant.

use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};
use uuid::Uuid;

use super::{SUMS, kept_in};
use crate::{
    database::{Database, Transaction, counts::fold},
    error::Result,
    values::Tenant,
};

/// Maximum number of differences that are read at once.
pub const DIFFERENCES: usize = 500;

/// The columns that tell which total it is, besides the tenant.
const KEY: &str = "owner_id, measure, day, currency, stage, next_stage";

/// A total that says something else than counting does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Whose it is.
    pub tenant: Tenant,
    /// The customer; nil if it is the whole tenant's.
    pub owner: Uuid,
    /// What it counts.
    pub measure: String,
    /// The day, counted from 1970 (UTC), or 0.
    pub day: i32,
    /// The currency.
    pub currency: String,
    /// The stage, and the one that was moved to or -1.
    pub stages: (i32, i32),
    /// What counting says less than the total, of each column that is summed up.
    pub excess: [i64; 5],
}

/// The first tenant by name, of those behind `after`, that has opportunities or totals.
///
/// # Errors
/// A fault of the database.
pub async fn next_tenant(database: &Database, after: Option<&Tenant>) -> Result<Option<Tenant>> {
    let tables = ["opportunities"].iter().chain(kept_in(database.backend()));
    let first = tables.map(|table| format!("SELECT min(tenant_id) AS tenant_id FROM {table} WHERE tenant_id > $1"));
    let sql = format!("SELECT min(tenant_id) FROM ({}) AS tenants", first.collect::<Vec<_>>().join(" UNION ALL "));
    let after = after.map_or("", Tenant::as_str).into();
    let row = database.read().query_one_raw(Statement::from_sql_and_values(database.backend(), sql, [after])).await?;
    let name = row.map(|row| row.try_get_by_index::<Option<String>>(0)).transpose()?.flatten();
    Ok(name.map(Tenant::stored))
}

/// The differences of a tenant's totals, at most [`DIFFERENCES`].
///
/// # Errors
/// A fault of the database.
pub async fn differences(database: &Database, tenant: &Tenant) -> Result<Vec<Difference>> {
    let backend = database.backend();
    let sql = format!("{} ORDER BY {KEY} LIMIT {DIFFERENCES}", compared(backend, ""));
    let statement = Statement::from_sql_and_values(backend, sql, [tenant.as_str().into()]);
    let rows = database.read().query_all_raw(statement).await?;
    rows.iter().map(|row| Difference::of(tenant, row)).collect()
}

impl Difference {
    fn of(tenant: &Tenant, row: &QueryResult) -> Result<Self> {
        let mut excess = [0; 5];
        for (at, sum) in excess.iter_mut().enumerate() {
            *sum = row.try_get_by_index(6 + at)?;
        }
        Ok(Self {
            tenant: tenant.clone(),
            owner: row.try_get_by_index(0)?,
            measure: row.try_get_by_index(1)?,
            day: row.try_get_by_index(2)?,
            currency: row.try_get_by_index(3)?,
            stages: (row.try_get_by_index(4)?, row.try_get_by_index(5)?),
            excess,
        })
    }

    fn values(&self) -> Vec<Value> {
        let (stage, next_stage) = self.stages;
        vec![
            self.tenant.as_str().into(),
            self.owner.into(),
            self.measure.clone().into(),
            self.day.into(),
            self.currency.clone().into(),
            stage.into(),
            next_stage.into(),
        ]
    }
}

/// An instant in whole seconds since 1970.
fn seconds(backend: DbBackend, instant: &str) -> String {
    match backend {
        DbBackend::Postgres => format!("CAST(floor(extract(epoch FROM {instant})) AS bigint)"),
        _ => format!("CAST(strftime('%s', {instant}) AS integer)"),
    }
}

/// What the totals say more than counting does, where that is anything; `only` is a condition on the rows that are compared.
fn compared(backend: DbBackend, only: &str) -> String {
    let second = |instant: &str| seconds(backend, instant);
    let nobody = match backend {
        DbBackend::Postgres => "'00000000-0000-0000-0000-000000000000'::uuid",
        _ => "x'00000000000000000000000000000000'",
    };
    let sums = SUMS.join(", ");
    let kept = kept_in(backend).iter().map(|table| format!("SELECT {KEY}, {sums} FROM {table} WHERE tenant_id = $1"));
    let is_counted = "o.tenant_id = $1 AND o.stage_entered_at IS NOT NULL AND o.deleted_at IS NULL";
    let (created, entered) = (second("o.created_at"), second("o.stage_entered_at"));
    let counted = [nobody, "o.customer_id"].into_iter().flat_map(|owner| {
        let standing = |measure: &str, day: &str| {
            format!(
                "SELECT {owner} AS owner_id, '{measure}' AS measure, {day} AS day, o.currency, o.stage, -1 AS next_stage, \
                 -1 AS count, -(o.amount_cents >> 32) AS amount_high, -(o.amount_cents & 4294967295) AS amount_low, \
                 -({created}) AS from_seconds, -({entered}) AS to_seconds FROM opportunities o WHERE {is_counted}"
            )
        };
        let (from, to) = (second("s.entered_at"), second("s.left_at"));
        let moved = format!(
            "SELECT {owner}, 'moved', {to} / 86400, o.currency, s.stage, s.next_stage, -1, 0, 0, -({from}), -({to}) \
             FROM opportunities o JOIN opportunity_stages s ON s.tenant_id = o.tenant_id \
             AND s.opportunity_id = o.opportunity_id WHERE {is_counted} AND s.left_at IS NOT NULL AND NOT s.is_estimated"
        );
        [standing("standing", "0"), standing("entered", &format!("{entered} / 86400")), moved]
    });
    let all: Vec<String> = kept.chain(counted).collect();
    let excess = SUMS.map(|sum| format!("CAST(sum({sum}) AS bigint) AS {sum}")).join(", ");
    let differs = SUMS.map(|sum| format!("sum({sum}) <> 0")).join(" OR ");
    format!(
        "SELECT owner_id, measure, CAST(day AS integer) AS day, currency, stage, next_stage, {excess} FROM ({}) AS compared {only} \
         GROUP BY {KEY} HAVING {differs}",
        all.join(" UNION ALL ")
    )
}

/// Makes the total say what counting says at this instant. Changes that are made meanwhile are counted once.
///
/// # Errors
/// A fault of the database.
pub async fn mend(database: &Database, difference: &Difference) -> Result<()> {
    let difference = difference.clone();
    database
        .transact(move |transaction| {
            let difference = difference.clone();
            Box::pin(async move { mend_in(transaction, &difference).await })
        })
        .await
}

/// The difference becomes one more change of the total. It is found and written in one statement: what others commit meanwhile
/// is in their own changes.
async fn mend_in(transaction: &Transaction, difference: &Difference) -> Result<()> {
    let backend = transaction.get_database_backend();
    let only = "WHERE owner_id = $2 AND measure = $3 AND day = $4 AND currency = $5 AND stage = $6 AND next_stage = $7";
    let sums = SUMS.join(", ");
    let less = SUMS.map(|sum| format!("-{sum}")).join(", ");
    let (table, merge) = match backend {
        DbBackend::Postgres => {
            fold::lock(transaction).await?;
            ("pipeline_total_deltas", String::new())
        }
        _ => {
            let sums = SUMS.map(|sum| format!("{sum} = pipeline_totals.{sum} + excluded.{sum}")).join(", ");
            ("pipeline_totals", format!(" ON CONFLICT (tenant_id, {KEY}) DO UPDATE SET {sums}"))
        }
    };
    let sql = format!(
        "INSERT INTO {table} (tenant_id, {KEY}, {sums}) SELECT $1, {KEY}, {less} FROM ({}) AS wrong WHERE true{merge}",
        compared(backend, only)
    );
    transaction.execute_raw(Statement::from_sql_and_values(backend, sql, difference.values())).await?;
    Ok(())
}
