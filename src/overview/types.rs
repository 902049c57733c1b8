//! Contract types of overviews.

use std::collections::BTreeMap;

use poem_openapi::Object;
use serde::Serialize;

use super::store::{CustomerRows, OpportunityRows};
use crate::{
    contacts::Contact,
    customers::Customer,
    database::{
        list::{Count as Counted, Rows},
        pipeline::Sum,
    },
    error::Result,
    follow_ups::{self, FollowUp},
    opportunities::{Opportunity, OpportunityStage, OpportunityStatus, history::StageStay},
    pii::PiiView,
    resource::Projection,
    timeline::types::TimelineItem,
    values::{
        Currency, Nullable, Timestamp,
        figure::{Count, SumCents, half_even},
        integer_enum::IntegerEnum,
    },
};

/// A customer in one look: all as it was at one instant.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct CustomerOverview {
    /// The customer.
    pub customer: Customer,
    /// Its contacts.
    pub contacts: OverviewContacts,
    /// Its opportunities.
    pub opportunities: OverviewOpportunities,
    /// Its follow-ups.
    pub follow_ups: OverviewFollowUps,
    /// What happened last, newest first: the beginning of its timeline.
    #[oai(validator(max_items = 10))]
    pub recent: Vec<TimelineItem>,
}

/// The contacts of a customer.
#[derive(Debug, Object, Serialize)]
pub struct OverviewContacts {
    /// The primary contact first, and then the newest.
    #[oai(validator(max_items = 20))]
    pub data: Vec<Contact>,
    /// How many there are.
    pub total: Count,
}

/// The opportunities of a customer.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct OverviewOpportunities {
    /// Those that are open first, by stage from the furthest to the first; then the others, newest first.
    #[oai(validator(max_items = 20))]
    pub data: Vec<Opportunity>,
    /// How many there are.
    pub total: Count,
    /// What they amount to, by currency. Amounts of different currencies are never added.
    #[oai(validator(max_items = 300))]
    pub amounts: Vec<OverviewAmounts>,
    /// Whether all of them are in `amounts`. `false` for a while after an upgrade, as long as older ones are not counted yet.
    pub amounts_complete: bool,
}

/// What the opportunities of a customer in one currency amount to, in its minor unit. A sum is `null` where it is larger than
/// 9007199254740991, the largest whole number that is exact in JSON everywhere.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct OverviewAmounts {
    /// The currency.
    pub currency: Currency,
    /// Those that are open.
    pub open: CountedAmount,
    /// Those that are won.
    pub won: CountedAmount,
    /// Those that are lost.
    pub lost: CountedAmount,
    /// What is to be expected of those that are open: the sum of each amount times the win probability of its stage, computed exactly
    /// and rounded once, a half to the even number.
    pub weighted_amount_cents: Nullable<SumCents>,
}

/// A number of opportunities, and what they amount to.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct CountedAmount {
    /// How many there are.
    pub count: Count,
    /// The sum of their amounts.
    pub amount_cents: Nullable<SumCents>,
}

/// The follow-ups of a customer or an opportunity.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct OverviewFollowUps {
    /// The newest first.
    #[oai(validator(max_items = 20))]
    pub data: Vec<FollowUp>,
    /// How many there are.
    pub total: Count,
    /// When the last contact was: when the newest follow-up was created. `null` if there is none.
    pub last_contact_at: Nullable<Timestamp>,
    /// How many whole days (of 24 hours) ago that was.
    pub days_since_last_contact: Nullable<Count>,
}

/// An opportunity in one look: all as it was at one instant.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct OpportunityOverview {
    /// The opportunity.
    pub opportunity: Opportunity,
    /// Its customer.
    pub customer: Customer,
    /// Its follow-ups.
    pub follow_ups: OverviewFollowUps,
    /// The stages that it was in, the latest first; its stage history has the others.
    #[oai(validator(max_items = 20))]
    pub stages: Vec<StageStay>,
}

impl CustomerOverview {
    /// What a caller sees of the rows at this time.
    ///
    /// # Errors
    /// Internal, if personal data cannot be decrypted.
    pub(super) fn of(rows: CustomerRows, view: &PiiView<'_>, now: Timestamp) -> Result<Self> {
        let CustomerRows { customer, contacts, opportunities, sums, has_all_sums, follow_ups, recent } = rows;
        Ok(Self {
            customer: Customer::project(customer, view)?,
            contacts: OverviewContacts { total: total(contacts.total), data: project(contacts.data, view)? },
            opportunities: OverviewOpportunities {
                total: total(opportunities.total),
                data: project(opportunities.data, view)?,
                amounts: amounts(sums),
                amounts_complete: has_all_sums,
            },
            follow_ups: OverviewFollowUps::of(follow_ups, view, now)?,
            recent: recent.into_iter().map(TimelineItem::from_row).collect::<Result<_>>()?,
        })
    }
}

impl OpportunityOverview {
    /// What a caller sees of the rows at this time.
    ///
    /// # Errors
    /// Internal, if personal data cannot be decrypted.
    pub(super) fn of(rows: OpportunityRows, view: &PiiView<'_>, now: Timestamp) -> Result<Self> {
        let OpportunityRows { opportunity, customer, follow_ups, stages } = rows;
        Ok(Self {
            opportunity: Opportunity::project(opportunity, view)?,
            customer: Customer::project(customer, view)?,
            follow_ups: OverviewFollowUps::of(follow_ups, view, now)?,
            stages: stages.data,
        })
    }
}

impl OverviewFollowUps {
    fn of(
        rows: Rows<<follow_ups::Entity as sea_orm::EntityTrait>::Model>,
        view: &PiiView<'_>,
        Timestamp(now): Timestamp,
    ) -> Result<Self> {
        let last = rows.data.first().map(|row| row.created_at);
        Ok(Self {
            total: total(rows.total),
            data: project(rows.data, view)?,
            last_contact_at: Nullable(last.map(Timestamp)),
            // A clock may have gone back.
            days_since_last_contact: Nullable(last.map(|last| Count((now - last).num_days().max(0)))),
        })
    }
}

/// What was summed up so far: how many, and how much.
#[derive(Default)]
struct Amount {
    count: i64,
    cents: i128,
}

impl Amount {
    fn add(&mut self, count: i64, cents: i128) {
        (self.count, self.cents) = (self.count + count, self.cents + cents);
    }

    fn shown(&self) -> CountedAmount {
        CountedAmount { count: Count(self.count), amount_cents: SumCents::exact(self.cents) }
    }
}

/// The sums of the stages, by currency and status.
fn amounts(sums: Vec<Sum>) -> Vec<OverviewAmounts> {
    let mut by_currency: BTreeMap<String, ([Amount; 3], i128)> = BTreeMap::new();
    for Sum { currency, stage, count, amount, .. } in sums {
        let ([open, won, lost], weighted) = by_currency.entry(currency).or_default();
        let Some(stage) = OpportunityStage::ALL.iter().find(|known| known.code() == stage) else { continue };
        match stage.kind() {
            OpportunityStatus::Open => {
                open.add(count, amount);
                *weighted += amount * i128::from(stage.probability());
            }
            OpportunityStatus::Won => won.add(count, amount),
            OpportunityStatus::Lost => lost.add(count, amount),
        }
    }
    let shown = |(currency, ([open, won, lost], weighted)): (String, ([Amount; 3], i128))| OverviewAmounts {
        currency: Currency::stored(currency),
        open: open.shown(),
        won: won.shown(),
        lost: lost.shown(),
        weighted_amount_cents: SumCents::exact(half_even(weighted, 100)),
    };
    by_currency.into_iter().map(shown).collect()
}

fn project<V: Projection>(rows: Vec<<V::Entity as sea_orm::EntityTrait>::Model>, view: &PiiView<'_>) -> Result<Vec<V>> {
    rows.into_iter().map(|row| V::project(row, view)).collect()
}

/// The total of a list whose total is kept.
fn total(total: Option<Counted>) -> Count {
    Count(total.map_or(0, |total| i64::try_from(total.rows).unwrap_or(i64::MAX)))
}
