//! Contract types of overviews.

use poem_openapi::Object;
use serde::Serialize;

use super::store::{CustomerRows, OpportunityRows};
use crate::{
    contacts::Contact,
    customers::Customer,
    database::list::{Count as Counted, Rows},
    error::Result,
    follow_ups::{self, FollowUp},
    opportunities::Opportunity,
    pii::PiiView,
    resource::Projection,
    timeline::types::TimelineItem,
    values::{Count, Nullable, Timestamp},
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
pub struct OverviewOpportunities {
    /// Those that are open first, by stage from the furthest to the first; then the others, newest first.
    #[oai(validator(max_items = 20))]
    pub data: Vec<Opportunity>,
    /// How many there are.
    pub total: Count,
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
}

impl CustomerOverview {
    /// What a caller sees of the rows at this time.
    ///
    /// # Errors
    /// Internal, if personal data cannot be decrypted.
    pub(super) fn of(rows: CustomerRows, view: &PiiView<'_>, now: Timestamp) -> Result<Self> {
        let CustomerRows { customer, contacts, opportunities, follow_ups, recent } = rows;
        Ok(Self {
            customer: Customer::project(customer, view)?,
            contacts: OverviewContacts { total: total(contacts.total), data: project(contacts.data, view)? },
            opportunities: OverviewOpportunities {
                total: total(opportunities.total),
                data: project(opportunities.data, view)?,
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
        let OpportunityRows { opportunity, customer, follow_ups } = rows;
        Ok(Self {
            opportunity: Opportunity::project(opportunity, view)?,
            customer: Customer::project(customer, view)?,
            follow_ups: OverviewFollowUps::of(follow_ups, view, now)?,
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

fn project<V: Projection>(rows: Vec<<V::Entity as sea_orm::EntityTrait>::Model>, view: &PiiView<'_>) -> Result<Vec<V>> {
    rows.into_iter().map(|row| V::project(row, view)).collect()
}

/// The total of a list whose total is kept.
fn total(total: Option<Counted>) -> Count {
    Count(total.map_or(0, |total| i64::try_from(total.rows).unwrap_or(i64::MAX)))
}
