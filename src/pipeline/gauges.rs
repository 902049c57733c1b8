//! Numbers of all tenants together, for operators: tenant by tenant, by index, so that none is read at once.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, Statement, Value};

use super::summary::stage;
use crate::{
    database::{
        Database,
        counts::check::next_tenant,
        pipeline::{self, Wanted},
    },
    error::Result,
    opportunities::OpportunityStage,
    telemetry::business_metrics::{BusinessMetrics, CustomerStatusLabel, Day, Figures, Status},
    values::{Currency, Tenant, date::Date, integer_enum::IntegerEnum},
};

/// Shows zeros until the numbers are read, with amounts in this currency.
pub fn begin(metrics: &BusinessMetrics, currency: &Currency) {
    let mut figures = Figures::default();
    for stage in OpportunityStage::ALL {
        figures.opportunities.insert((name(*stage), Status::of(stage.kind().code())), 0);
    }
    for status in [Status::open, Status::won, Status::lost] {
        figures.amounts.insert((currency.code().to_owned(), status), 0);
    }
    figures.customers.extend([CustomerStatusLabel::prospect, CustomerStatusLabel::signed].map(|status| (status, 0)));
    figures.follow_ups.extend([Day::today, Day::yesterday].map(|day| (day, 0)));
    metrics.show(&figures);
}

/// Reads the numbers and shows them, all at once.
///
/// # Errors
/// A fault of the database: then the ones before stay.
pub async fn refresh(database: &Database, metrics: &BusinessMetrics, now: DateTime<Utc>) -> Result<()> {
    let mut figures = Figures::default();
    let mut last = None;
    while let Some(tenant) = next_tenant(database, last.as_ref()).await? {
        add_opportunities(database, &tenant, &mut figures).await?;
        for status in [CustomerStatusLabel::prospect, CustomerStatusLabel::signed] {
            *figures.customers.entry(status).or_default() += customers(database, &tenant, status).await?;
        }
        for (day, ago) in [(Day::today, 0), (Day::yesterday, 1)] {
            *figures.follow_ups.entry(day).or_default() += follow_ups(database, &tenant, now, ago).await?;
        }
        last = Some(tenant);
    }
    metrics.show(&figures);
    metrics.refreshed_at(now.timestamp());
    Ok(())
}

async fn add_opportunities(database: &Database, tenant: &Tenant, figures: &mut Figures) -> Result<()> {
    let codes = OpportunityStage::ALL.iter().map(|stage| stage.code());
    let all = 0..codes.max().map_or(0, |last| last + 1);
    for sum in pipeline::read(&database.read(), tenant, None, None, &[Wanted::standing(all)]).await? {
        let stage = stage(sum.stage)?;
        let status = Status::of(stage.kind().code());
        *figures.opportunities.entry((name(stage), status)).or_default() += sum.count;
        *figures.amounts.entry((sum.currency, status)).or_default() += sum.amount;
    }
    Ok(())
}

/// The name of a stage, as a label.
fn name(stage: OpportunityStage) -> String {
    format!("{stage:?}").to_lowercase()
}

/// How many of the tenant's customers have this status; those of a deletion that is under way among them.
async fn customers(database: &Database, tenant: &Tenant, status: CustomerStatusLabel) -> Result<i64> {
    let sql = "SELECT count(*) FROM customers WHERE tenant_id = $1 AND status = $2";
    count(database, sql, vec![tenant.as_str().into(), status.code().into()]).await
}

/// How many follow-ups the tenant got on a day (UTC), that many days ago.
async fn follow_ups(database: &Database, tenant: &Tenant, now: DateTime<Utc>, ago: i64) -> Result<i64> {
    let day = Date::of(now).plus(-ago);
    let begin = DateTime::from_timestamp(day.seconds(), 0).unwrap_or_default();
    let sql = "SELECT count(*) FROM follow_ups WHERE tenant_id = $1 AND created_at >= $2 AND created_at < $3";
    count(database, sql, vec![tenant.as_str().into(), begin.into(), (begin + TimeDelta::days(1)).into()]).await
}

async fn count(database: &Database, sql: &str, values: Vec<Value>) -> Result<i64> {
    let db = database.read();
    let counted = db.query_one_raw(Statement::from_sql_and_values(db.get_database_backend(), sql, values)).await?;
    Ok(counted.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default())
}
