//! What is read for an overview, from one snapshot.

use std::ops::Range;

use chrono::{DateTime, Utc};
use sea_orm::EntityTrait;
use uuid::Uuid;

use crate::{
    contacts, customers,
    database::{
        Transaction,
        list::{Position, Rows},
        pipeline::{self, Sum, Wanted},
        read,
    },
    error::Result,
    follow_ups,
    opportunities::{
        self,
        history::{self, store::Stays},
    },
    timeline,
    timeline::store::Slice,
    values::Tenant,
};

/// How many of each kind an overview shows.
pub(super) const SHOWN: u64 = 20;
/// The codes of all stages.
const STAGES: Range<i32> = 0..i32::MAX;
/// How much of what happened last it shows.
pub(super) const RECENT: u64 = 10;

type Row<E> = <E as EntityTrait>::Model;

/// The rows of a customer's overview.
pub(super) struct CustomerRows {
    pub customer: Row<customers::Entity>,
    pub contacts: Rows<Row<contacts::Entity>>,
    pub opportunities: Rows<Row<opportunities::Entity>>,
    /// What they amount to, by currency and stage.
    pub sums: Vec<Sum>,
    /// Whether all of them are in these.
    pub has_all_sums: bool,
    pub follow_ups: Rows<Row<follow_ups::Entity>>,
    pub recent: Vec<timeline::Model>,
}

/// The rows of an opportunity's overview.
pub(super) struct OpportunityRows {
    pub opportunity: Row<opportunities::Entity>,
    pub customer: Row<customers::Entity>,
    pub follow_ups: Rows<Row<follow_ups::Entity>>,
    pub stages: Stays,
}

/// A page of a timeline.
pub(super) struct TimelineRows {
    pub items: Vec<timeline::Model>,
    pub next: Option<Position>,
    pub since: DateTime<Utc>,
}

/// Reads a customer and what belongs to it.
///
/// # Errors
/// Not found, or a database error.
pub(super) async fn customer(snapshot: &Transaction, tenant: &Tenant, id: Uuid) -> Result<CustomerRows> {
    let customer = read::one::<customers::Entity>(snapshot, tenant, id).await?;
    let recent = Slice { after: None, types: timeline::TimelineType::ALL.to_vec(), limit: RECENT };
    Ok(CustomerRows {
        customer,
        contacts: contacts::store::first_of_customer(snapshot, tenant, id, SHOWN).await?,
        opportunities: opportunities::store::leading_of_customer(snapshot, tenant, id, SHOWN).await?,
        sums: pipeline::read(snapshot, tenant, Some(id), None, &[Wanted::standing(STAGES)]).await?,
        has_all_sums: pipeline::is_complete(snapshot, tenant).await?,
        follow_ups: follow_ups::store::newest(snapshot, tenant, (Some(id), None), SHOWN).await?,
        recent: timeline::store::page(snapshot, tenant, id, recent).await?.0,
    })
}

/// Reads an opportunity and what belongs to it.
///
/// # Errors
/// Not found, or a database error.
pub(super) async fn opportunity(snapshot: &Transaction, tenant: &Tenant, id: Uuid) -> Result<OpportunityRows> {
    let opportunity = read::one::<opportunities::Entity>(snapshot, tenant, id).await?;
    let customer = read::one::<customers::Entity>(snapshot, tenant, opportunity.customer_id).await?;
    let follow_ups = follow_ups::store::newest(snapshot, tenant, (None, Some(id)), SHOWN).await?;
    let stages = history::store::newest(snapshot, tenant, id, (None, SHOWN)).await?;
    Ok(OpportunityRows { opportunity, customer, follow_ups, stages })
}

/// Reads a page of the timeline of a customer.
///
/// # Errors
/// Not found, or a database error.
pub(super) async fn timeline(snapshot: &Transaction, tenant: &Tenant, id: Uuid, slice: Slice) -> Result<TimelineRows> {
    let customer = read::one::<customers::Entity>(snapshot, tenant, id).await?;
    let (items, next) = timeline::store::page(snapshot, tenant, id, slice).await?;
    let since = timeline::store::since(snapshot, tenant, customer.created_at).await?;
    Ok(TimelineRows { items, next, since })
}
