//! Queries on customers.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
    sea_query::LockType,
};
use uuid::Uuid;

use super::entity::Model;
use super::{CustomerCreate, CustomerStatus, CustomerUpdate, entity::Entity};
use crate::{
    change::Change,
    contacts,
    database::{
        list,
        tenancy::{Resource, Tenanted},
    },
    error::{ApiError, Result},
    follow_ups,
    http::{
        caller::Tenant,
        page::{List, Paging},
    },
    opportunities,
    pii::Pii,
    values::Text,
};

/// The tenant's customers.
///
/// # Errors
/// A fault of the database.
pub async fn list(db: &impl ConnectionTrait, tenant: &Tenant, paging: Paging) -> Result<List<Model>> {
    list::page(db, Entity::of(tenant), paging).await
}

/// One customer.
///
/// # Errors
/// 404, or a fault of the database.
pub async fn find(db: &impl ConnectionTrait, tenant: &Tenant, id: Uuid) -> Result<Model> {
    Entity::one(tenant, id).all(db).await?.pop().ok_or_else(ApiError::not_found)
}

/// The customer, if it exists, locked until the change ends: against deletion (`KeyShare`), or against everything
/// (`Update`). Locks are taken from the customer down to its follow-ups, so that changes never wait for each other in a
/// circle.
///
/// # Errors
/// A fault of the database.
pub async fn hold(change: &Change<'_>, id: Uuid, lock: LockType) -> Result<Option<Model>> {
    Ok(Entity::one(change.tenant(), id).lock(lock).all(change.db()).await?.pop())
}

/// Stores a new customer under the change's id.
///
/// # Errors
/// A fault of the database.
pub async fn insert(change: &Change<'_>, body: CustomerCreate) -> Result<Model> {
    let CustomerCreate { name, contact_phone, contact_email } = body;
    let row = Model {
        tenant_id: change.tenant().as_str().to_owned(),
        customer_id: change.id(),
        name: name.into_string(),
        contact_phone: contact_phone.into_option().map(Pii::into_stored),
        contact_email: contact_email.into_option().map(Pii::into_stored),
        status: CustomerStatus::Prospect,
        created_at: change.now().0,
        updated_at: change.now().0,
    };
    Entity::insert(row.clone().into_active_model()).exec_without_returning(change.db()).await?;
    Ok(row)
}

/// Changes the customer of the change.
///
/// # Errors
/// 404, or a fault of the database.
pub async fn update(change: &Change<'_>, body: CustomerUpdate) -> Result<Model> {
    let CustomerUpdate { name, contact_phone, contact_email } = body;
    let before = hold(change, change.id(), LockType::Update).await?.ok_or_else(ApiError::not_found)?;
    let mut row = before.clone();
    row.name = name.into_option().map_or(row.name, Text::into_string);
    contact_phone.apply(&mut row.contact_phone, Pii::into_stored);
    contact_email.apply(&mut row.contact_email, Pii::into_stored);
    if row == before {
        return Ok(row);
    }
    row.updated_at = change.after(before.updated_at);
    Ok(row.into_active_model().reset_all().update(change.db()).await?)
}

/// Deletes the customer of the change, with all that belongs to it.
///
/// # Errors
/// 404, or a fault of the database.
pub async fn delete(change: &Change<'_>) -> Result<()> {
    let id = change.id();
    hold(change, id, LockType::Update).await?.ok_or_else(ApiError::not_found)?;
    follow_ups::store::delete_of_customer(change, id).await?;
    opportunities::store::delete_of_customer(change, id).await?;
    contacts::store::delete_of_customer(change, id).await?;
    Entity::delete_of(change.tenant()).filter(Entity::ID.eq(id)).exec(change.db()).await?;
    Ok(())
}
