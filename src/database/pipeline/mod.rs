//! The totals of the pipeline: how many opportunities are in each stage, and how many were moved, without reading them.
//!
//! Triggers keep them, in the transaction of whatever changes the rows. They leave out what is marked as deleted; what a deleted
//! customer hides is subtracted here, in the same statement. On PostgreSQL a change of a total is a row of its own, as of the
//! counters of lists ([`super::counts`]), and is folded with these.
//!
//! Reading order: [`read`] what is asked · [`standing`] the total of a list · [`check`] whether it says what counting says.

pub mod check;
pub mod standing;

use std::ops::Range;

use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    values::Tenant,
};

/// What a total counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// The opportunities that are in a stage. The first instant of each is when it was created, the second when it came there.
    Standing,
    /// The same, by the day on which they came there.
    Entered,
    /// The moves from one stage to another, by the day. The first instant of each is when it came to the stage that it left, the
    /// second when it left it.
    Moved,
}

impl Measure {
    const ALL: [Self; 3] = [Self::Standing, Self::Entered, Self::Moved];

    /// Its name in the column `measure`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Standing => "standing",
            Self::Entered => "entered",
            Self::Moved => "moved",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.name() == name)
    }
}

/// Which totals are read.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What they count.
    pub measure: Measure,
    /// Only of these stages.
    pub stages: Range<i32>,
    /// Only of these days, counted from 1970 (UTC). All that are [`Measure::Standing`] are of day 0.
    pub days: Range<i32>,
    /// From this day on each is told by itself; those before, or all without it, are told as one, day 0.
    pub by_day: Option<i32>,
}

impl Wanted {
    /// The opportunities that are in these stages.
    #[must_use]
    pub fn standing(stages: Range<i32>) -> Self {
        Self { measure: Measure::Standing, stages, days: 0..1, by_day: None }
    }
}

/// A total.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// What it counts.
    pub measure: Measure,
    /// The day, counted from 1970 (UTC), or 0.
    pub day: i32,
    /// The currency of the amounts.
    pub currency: String,
    /// The stage.
    pub stage: i32,
    /// The stage to which they were moved; -1 unless it counts moves.
    pub next_stage: i32,
    /// How many there are.
    pub count: i64,
    /// The sum of their amounts, in the currency's minor unit.
    pub amount: i128,
    /// The sum of their first instants, in seconds since 1970.
    pub from_seconds: i64,
    /// The sum of their second instants.
    pub to_seconds: i64,
}

impl Sum {
    fn of(row: &QueryResult) -> Result<Self> {
        let measure: String = row.try_get_by_index(0)?;
        let measure = Measure::named(&measure)
            .ok_or_else(|| Error::internal(format!("totals of the pipeline count {measure}")))?;
        let (high, low): (i64, i64) = (row.try_get_by_index(6)?, row.try_get_by_index(7)?);
        Ok(Self {
            measure,
            day: row.try_get_by_index(1)?,
            currency: row.try_get_by_index(2)?,
            stage: row.try_get_by_index(3)?,
            next_stage: row.try_get_by_index(4)?,
            count: row.try_get_by_index(5)?,
            amount: (i128::from(high) << 32) + i128::from(low),
            from_seconds: row.try_get_by_index(8)?,
            to_seconds: row.try_get_by_index(9)?,
        })
    }
}

/// The columns that are summed up.
const SUMS: [&str; 5] = ["count", "amount_high", "amount_low", "from_seconds", "to_seconds"];

/// The tables whose rows are summed up.
fn kept_in(backend: DbBackend) -> &'static [&'static str] {
    match backend {
        DbBackend::Postgres => &["pipeline_totals", "pipeline_total_deltas"],
        _ => &["pipeline_totals"],
    }
}

/// Reads totals of a tenant, or of one of its customers, in one currency or in all: as they were at one instant, sorted, without
/// those that count nothing.
///
/// # Errors
/// A fault of the database.
pub async fn read(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    owner: Option<Uuid>,
    currency: Option<&str>,
    wanted: &[Wanted],
) -> Result<Vec<Sum>> {
    let backend = db.get_database_backend();
    let parts: Vec<String> = wanted.iter().map(|wanted| part(backend, owner, currency, wanted)).collect();
    let sums = SUMS.map(|sum| format!("CAST(sum({sum}) AS bigint)")).join(", ");
    let sql = format!(
        "SELECT measure, day, currency, stage, next_stage, {sums} FROM ({}) AS totals \
         GROUP BY measure, day, currency, stage, next_stage HAVING sum(count) <> 0 \
         ORDER BY measure, day, currency, stage, next_stage",
        parts.join(" UNION ALL ")
    );
    let mut values: Vec<Value> = vec![tenant.as_str().into(), owner.unwrap_or_default().into()];
    values.extend(currency.map(Into::into));
    let rows = db.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    rows.iter().map(Sum::of).collect()
}

/// The rows of the tables that make up some totals; of a customer that is deleted there are none.
fn part(backend: DbBackend, owner: Option<Uuid>, currency: Option<&str>, wanted: &Wanted) -> String {
    let Wanted { measure, stages, days, by_day } = wanted;
    let columns = |sign: &str| {
        let day = match by_day {
            Some(from) => format!("CASE WHEN t.day < {from} THEN 0 ELSE t.day END AS day"),
            None => "0 AS day".to_owned(),
        };
        let sums = SUMS.map(|sum| format!("{sign}t.{sum} AS {sum}")).join(", ");
        format!("t.measure, {day}, t.currency, t.stage, t.next_stage, {sums}")
    };
    let in_currency = if currency.is_some() { " AND t.currency = $3" } else { "" };
    let of = |owner: &str| {
        format!(
            "t.tenant_id = $1 AND t.owner_id = {owner} AND t.measure = '{}' AND t.day >= {} AND t.day < {} \
             AND t.stage >= {} AND t.stage < {}{in_currency}",
            measure.name(),
            days.start,
            days.end,
            stages.start,
            stages.end
        )
    };
    let kept = kept_in(backend).iter().map(|table| {
        let is_shown = match owner {
            Some(_) => " AND NOT EXISTS (SELECT 1 FROM deletions d WHERE d.tenant_id = $1 AND d.resource_id = $2)",
            None => "",
        };
        format!("SELECT {} FROM {table} t WHERE {}{is_shown}", columns(""), of("$2"))
    });
    // Looked up for each deletion, of which there are nearly always none: a planner would else begin with all customers.
    let hidden = kept_in(backend).iter().filter(|_| owner.is_none()).map(|table| match backend {
        DbBackend::Postgres => format!(
            "SELECT {} FROM deletions d CROSS JOIN LATERAL (SELECT * FROM {table} t WHERE {} OFFSET 0) t \
             WHERE d.tenant_id = $1",
            columns("-"),
            of("d.resource_id")
        ),
        _ => format!(
            "SELECT {} FROM deletions d CROSS JOIN {table} t WHERE d.tenant_id = $1 AND {}",
            columns("-"),
            of("d.resource_id")
        ),
    });
    kept.chain(hidden).collect::<Vec<_>>().join(" UNION ALL ")
}

/// Whether the tenant has opportunities that are not counted yet, because they were there before the totals.
///
/// # Errors
/// A fault of the database.
pub async fn is_complete(db: &impl ConnectionTrait, tenant: &Tenant) -> Result<bool> {
    let sql = unfilled(db.get_database_backend());
    let values = [tenant.as_str().into()];
    Ok(db.query_one_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?.is_none())
}

/// A query that finds one of them.
fn unfilled(backend: DbBackend) -> String {
    // Before there are statistics, SQLite would look at all of the tenant's.
    let index = match backend {
        DbBackend::Postgres => "",
        _ => "INDEXED BY opportunities_unfilled ",
    };
    format!("SELECT 1 FROM opportunities {index}WHERE tenant_id = $1 AND stage_entered_at IS NULL LIMIT 1")
}
