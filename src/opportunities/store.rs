//! Queries on opportunities.

use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QueryTrait, sea_query::LockType};
use uuid::Uuid;

use super::{
    AmountCents, OpportunityCreate, OpportunityStage, OpportunityUpdate,
    entity::{Column, Entity, Model},
    stage::{OpportunityStatus, Standing},
};
use crate::{
    change::Change,
    customers,
    database::{
        read,
        tenancy::{Listed, Tenanted},
    },
    error::{ApiError, Result},
    follow_ups,
    http::page::{List, Paging},
    values::{Currency, Tenant, Text},
};

/// The tenant's opportunities, of one customer or of all.
///
/// # Errors
/// A fault of the database.
pub async fn list(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    customer: Option<Uuid>,
    paging: Paging,
) -> Result<List<Model>> {
    let rows = Entity::of(tenant).apply_if(customer, |rows, id| rows.filter(Column::CustomerId.eq(id)));
    read::page(db, rows, paging).await
}

/// One opportunity.
///
/// # Errors
/// 404, or a fault of the database.
pub async fn find(db: &impl ConnectionTrait, tenant: &Tenant, id: Uuid) -> Result<Model> {
    read::one::<Entity>(db, tenant, id).await
}

/// The customer that an opportunity belongs to for good, if it exists.
///
/// # Errors
/// A fault of the database.
pub async fn owner(db: &impl ConnectionTrait, tenant: &Tenant, id: Uuid) -> Result<Option<Uuid>> {
    Ok(Entity::one(tenant, id).all(db).await?.pop().map(|row| row.customer_id))
}

/// Stores a new opportunity under the change's id.
///
/// # Errors
/// 400 where the customer does not exist, or a fault of the database.
pub async fn insert(change: &Change<'_>, body: OpportunityCreate) -> Result<Model> {
    let OpportunityCreate { customer_id, title, amount_cents, currency, stage } = body;
    if change.lock::<customers::Entity>(customer_id.0, LockType::KeyShare).await?.is_none() {
        return Err(ApiError::bad_reference("customerId"));
    }
    let Standing { stage, last_open } = Standing::new(stage.into_option().unwrap_or(OpportunityStage::New));
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
    };
    change.insert::<Entity>(row).await
}

/// Changes the opportunity of the change.
///
/// # Errors
/// 404, 400 where stage and status contradict each other, or a fault of the database.
pub async fn update(change: &Change<'_>, body: OpportunityUpdate) -> Result<Model> {
    let OpportunityUpdate { title, amount_cents, currency, stage, status } = body;
    let before = change.lock::<Entity>(change.id(), LockType::Update).await?.ok_or_else(ApiError::not_found)?;
    let standing = Standing { stage: before.stage, last_open: before.last_open_stage };
    let standing = standing
        .moved(stage.into_option(), status.into_option())
        .map_err(|flaw| ApiError::bad_request(format!("status: {flaw}")))?;
    let mut row = at(before.clone(), standing);
    row.title = title.into_option().map_or(row.title, Text::into_string);
    row.amount_cents = amount_cents.into_option().map_or(row.amount_cents, |amount| amount.0);
    row.currency = currency.into_option().map_or(row.currency, |currency: Currency| currency.code().to_owned());
    change.update::<Entity>(before, row).await
}

/// Wins an opportunity of the change's customer, who is locked; one that is won stays so.
///
/// # Errors
/// 400 where the customer has no such opportunity, or a fault of the database.
pub async fn win(change: &Change<'_>, id: Uuid) -> Result<()> {
    let before = change.lock::<Entity>(id, LockType::Update).await?;
    let before = before.ok_or_else(|| ApiError::bad_reference("opportunityId"))?;
    if before.customer_id != change.id() {
        return Err(ApiError::bad_request("opportunityId: belongs to another customer"));
    }
    let standing = Standing { stage: before.stage, last_open: before.last_open_stage }
        .moved(None, Some(OpportunityStatus::Won))
        .map_err(|flaw| ApiError::bad_request(format!("status: {flaw}")))?;
    change.update::<Entity>(before.clone(), at(before, standing)).await.map(drop)
}

fn at(row: Model, Standing { stage, last_open }: Standing) -> Model {
    Model { stage, status: stage.kind(), last_open_stage: last_open, ..row }
}

/// Deletes the opportunity of the change; its follow-ups stay, without the reference.
///
/// # Errors
/// 404, or a fault of the database.
pub async fn delete(change: &Change<'_>) -> Result<()> {
    let id = change.id();
    let customer = owner(change.db(), change.tenant(), id).await?.ok_or_else(ApiError::not_found)?;
    change.lock::<customers::Entity>(customer, LockType::KeyShare).await?;
    let row = change.lock::<Entity>(id, LockType::Update).await?.ok_or_else(ApiError::not_found)?;
    follow_ups::store::clear_opportunity(change, id).await?;
    change.delete::<Entity>(vec![row]).await
}

/// Deletes the opportunities of a customer that is being deleted.
///
/// # Errors
/// A fault of the database.
pub async fn delete_of_customer(change: &Change<'_>, customer: Uuid) -> Result<()> {
    let rows = change.lock_all::<Entity>(Column::CustomerId.eq(customer)).await?;
    change.delete::<Entity>(rows).await
}
