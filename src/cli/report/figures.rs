//! What reports show.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, Utc};

use crate::{
    database::{
        Database,
        counts::check::next_tenant,
        list::Slice,
        pipeline::{self, Wanted},
    },
    error::Result,
    opportunities::{self, OpportunityStage},
    values::{Tenant, figure::half_even, integer_enum::IntegerEnum},
};

/// For how many days nothing has happened to what is stalled.
const DAYS: u64 = 30;
/// How many opportunities a report shows.
const MOST: usize = 50;

/// The opportunities in a currency.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Funnel {
    pub currency: String,
    /// All stages, in their order.
    pub stages: Vec<Stage>,
}

/// Those in a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stage {
    pub stage: OpportunityStage,
    pub count: i64,
    /// In the currency's minor unit.
    pub amount: i128,
}

impl Stage {
    pub fn name(&self) -> String {
        format!("{:?}", self.stage)
    }

    /// The amount × the probability of the stage, in the minor unit.
    pub fn weighted(&self) -> i128 {
        half_even(self.amount * i128::from(self.stage.probability()), 100)
    }
}

impl Funnel {
    /// The largest number of a stage.
    pub fn largest(&self) -> i64 {
        self.stages.iter().map(|stage| stage.count).max().unwrap_or_default()
    }
}

/// An opportunity to which nothing has happened for long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Idle {
    pub tenant: String,
    pub id: String,
    pub title: String,
    pub stage: OpportunityStage,
    pub currency: String,
    pub amount: i64,
    pub since: DateTime<Utc>,
    pub days: i64,
}

/// The tenants that a report is about.
async fn tenants(database: &Database, only: Option<&Tenant>) -> Result<Vec<Tenant>> {
    if let Some(only) = only {
        return Ok(vec![only.clone()]);
    }
    let mut tenants: Vec<Tenant> = Vec::new();
    while let Some(tenant) = next_tenant(database, tenants.last()).await? {
        tenants.push(tenant);
    }
    Ok(tenants)
}

/// A funnel for each currency, by its name.
pub(super) async fn funnels(database: &Database, only: Option<&Tenant>) -> Result<Vec<Funnel>> {
    let all = 0..OpportunityStage::ALL.iter().map(|stage| stage.code()).max().map_or(0, |last| last + 1);
    let mut currencies: BTreeMap<String, BTreeMap<i32, (i64, i128)>> = BTreeMap::new();
    for tenant in tenants(database, only).await? {
        let wanted = [Wanted::standing(all.clone())];
        for sum in pipeline::read(&database.read(), &tenant, None, None, &wanted).await? {
            let (count, amount) = currencies.entry(sum.currency).or_default().entry(sum.stage).or_default();
            *count += sum.count;
            *amount += sum.amount;
        }
    }
    let funnel = |(currency, sums): (String, BTreeMap<i32, (i64, i128)>)| {
        let stage = |stage: &OpportunityStage| {
            let (count, amount) = sums.get(&stage.code()).copied().unwrap_or_default();
            Stage { stage: *stage, count, amount }
        };
        Funnel { currency, stages: OpportunityStage::ALL.iter().map(stage).collect() }
    };
    Ok(currencies.into_iter().map(funnel).collect())
}

/// What is stalled, the longest first.
pub(super) async fn idle(database: &Database, only: Option<&Tenant>, now: DateTime<Utc>) -> Result<Vec<Idle>> {
    let since = now.checked_sub_days(Days::new(DAYS)).unwrap_or_default();
    let mut all = Vec::new();
    for tenant in tenants(database, only).await? {
        let slice = Slice { offset: 0, limit: MOST as u64, after: None };
        let rows = opportunities::store::idle(&database.read(), &tenant, since, slice).await?;
        all.extend(rows.data.into_iter().filter_map(|row| {
            let since = row.idle_since?;
            Some(Idle {
                tenant: row.tenant_id,
                id: row.opportunity_id.to_string(),
                title: row.title,
                stage: row.stage,
                currency: row.currency,
                amount: row.amount_cents,
                since,
                days: (now - since).num_days(),
            })
        }));
    }
    all.sort_by(|one, other| (one.since, &one.id).cmp(&(other.since, &other.id)));
    all.truncate(MOST);
    Ok(all)
}
