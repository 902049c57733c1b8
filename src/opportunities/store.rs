//! Queries on opportunities.

use sea_orm::{ConnectionTrait, sea_query::LockType};
use uuid::Uuid;

use super::{
    entity::{Column, Entity, Model},
    stage::{OpportunityStage, OpportunityStatus, StageState},
    types::{OpportunityCreate, OpportunityUpdate},
};
use crate::{
    change::Change,
    customers,
    database::list::{Criterion, ListQuery, Order, Rows, Slice},
    error::{Error, Result},
    resource::totals,
    values::{AmountCents, Currency, Tenant, Text},
};

/// A page of the tenant's opportunities, optionally only those of one customer.
///
/// # Errors
/// A database error.
pub async fn list(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    customer: Option<Uuid>,
    slice: Slice,
) -> Result<Rows<Model>> {
    let total = totals::of_customer::<Entity, customers::Entity>(db.get_database_backend(), tenant, customer);
    let criteria = customer.map(|id| Criterion::<Entity>::equal(Column::CustomerId, id)).into_iter().collect();
    ListQuery { criteria, order: Order::default(), slice, total }.read(db, tenant).await
}

/// Inserts a new opportunity with the id of the change.
///
/// # Errors
/// Invalid, if the customer does not exist, or a database error.
pub async fn insert(change: &mut Change<'_>, body: OpportunityCreate) -> Result<Model> {
    let OpportunityCreate { customer_id, title, amount_cents, currency, stage } = body;
    change.lock_referenced::<customers::Entity>("customerId", customer_id.0, LockType::KeyShare).await?;
    let StageState { stage, last_open } = StageState::new(stage.into_option().unwrap_or(OpportunityStage::New));
    let AmountCents(amount_cents) = amount_cents.into_option().unwrap_or(AmountCents(0));
    let row = Model {
        tenant_id: change.tenant().as_str().to_owned(),
        opportunity_id: change.id(),
        customer_id: customer_id.0,
        title: title.into_string(),
        amount_cents,
        currency: currency.into_option().as_ref().unwrap_or(change.default_currency()).code().to_owned(),
        stage,
        status: stage.kind(),
        last_open_stage: last_open,
        created_at: change.now().0,
        updated_at: change.now().0,
        version: 0,
        deleted_at: None,
        title_sort: String::new(),
    };
    change.insert::<Entity>(row).await
}

/// Updates the opportunity of the change.
///
/// # Errors
/// Not found; invalid, if stage and status contradict each other; or a database error.
pub async fn update(change: &mut Change<'_>, body: OpportunityUpdate) -> Result<Model> {
    let OpportunityUpdate { title, amount_cents, currency, stage, status } = body;
    let before = change.lock_own::<Entity>().await?;
    let moved = state(&before).moved(stage.into_option(), status.into_option())?;
    let mut row = with_state(before.clone(), moved);
    row.title = title.into_option().map_or(row.title, Text::into_string);
    row.amount_cents = amount_cents.into_option().map_or(row.amount_cents, |amount| amount.0);
    row.currency = currency.into_option().map_or(row.currency, |currency: Currency| currency.code().to_owned());
    change.update::<Entity>(before, row).await
}

/// Marks an opportunity of the change's customer as won; no effect if it is already. The customer must be locked.
///
/// # Errors
/// Invalid, if the customer has no such opportunity, or a database error.
pub async fn win(change: &mut Change<'_>, id: Uuid) -> Result<()> {
    let before = change.lock_referenced::<Entity>("opportunityId", id, LockType::Update).await?;
    if before.customer_id != change.id() {
        return Err(Error::invalid("opportunityId: belongs to another customer"));
    }
    let won = state(&before).moved(None, Some(OpportunityStatus::Won))?;
    change.update::<Entity>(before.clone(), with_state(before, won)).await.map(drop)
}

fn state(row: &Model) -> StageState {
    StageState { stage: row.stage, last_open: row.last_open_stage }
}

fn with_state(row: Model, StageState { stage, last_open }: StageState) -> Model {
    Model { stage, status: stage.kind(), last_open_stage: last_open, ..row }
}

/// Deletes the opportunity of the change; its follow-ups stay, without their reference to it.
///
/// # Errors
/// Not found, or a database error.
pub async fn delete(change: &mut Change<'_>) -> Result<()> {
    let row = change.lock_own_below::<customers::Entity, Entity>(LockType::KeyShare).await?;
    change.delete_own::<Entity>(row).await
}
