//! Queries on customers.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, sea_query::LockType,
};
use uuid::Uuid;

use super::{
    CustomerCreate, CustomerStatus, CustomerUpdate,
    entity::{Entity, Model},
};
use crate::{
    change::Change,
    contacts,
    database::{
        read,
        tenancy::{Resource, Tenanted},
    },
    error::{ApiError, Result},
    follow_ups,
    http::page::{List, Paging},
    opportunities,
    pii::Pii,
    values::{Tenant, Text},
};

/// The tenant's customers.
///
/// # Errors
/// A fault of the database.
pub async fn list(db: &impl ConnectionTrait, tenant: &Tenant, paging: Paging) -> Result<List<Model>> {
    read::page(db, Entity::of(tenant), paging).await
}

/// One customer.
///
/// # Errors
/// 404, or a fault of the database.
pub async fn find(db: &impl ConnectionTrait, tenant: &Tenant, id: Uuid) -> Result<Model> {
    read::one::<Entity>(db, tenant, id).await
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
    let before = change.lock::<Entity>(change.id(), LockType::Update).await?.ok_or_else(ApiError::not_found)?;
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
    change.lock::<Entity>(id, LockType::Update).await?.ok_or_else(ApiError::not_found)?;
    follow_ups::store::delete_of_customer(change, id).await?;
    opportunities::store::delete_of_customer(change, id).await?;
    contacts::store::delete_of_customer(change, id).await?;
    Entity::delete_of(change.tenant()).filter(Entity::ID.eq(id)).exec(change.db()).await?;
    Ok(())
}
