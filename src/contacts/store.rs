//! Queries on contacts.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryTrait,
    sea_query::LockType,
};
use uuid::Uuid;

use super::{
    ContactCreate, ContactUpdate,
    entity::{Column, Entity, Model},
};
use crate::{
    change::Change,
    customers,
    database::{
        read,
        tenancy::{Resource, Tenanted},
    },
    error::{ApiError, Result},
    follow_ups,
    http::page::{List, Paging},
    pii::Pii,
    values::{Tenant, Text},
};

/// The tenant's contacts, of one customer or of all.
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

/// One contact.
///
/// # Errors
/// 404, or a fault of the database.
pub async fn find(db: &impl ConnectionTrait, tenant: &Tenant, id: Uuid) -> Result<Model> {
    read::one::<Entity>(db, tenant, id).await
}

/// The customer that a contact belongs to for good, if it exists.
///
/// # Errors
/// A fault of the database.
pub async fn owner(db: &impl ConnectionTrait, tenant: &Tenant, id: Uuid) -> Result<Option<Uuid>> {
    Ok(Entity::one(tenant, id).all(db).await?.pop().map(|row| row.customer_id))
}

/// Stores a new contact under the change's id.
///
/// # Errors
/// 400 where the customer does not exist, or a fault of the database.
pub async fn insert(change: &Change<'_>, body: ContactCreate) -> Result<Model> {
    let ContactCreate { customer_id, name, phone, email, is_primary } = body;
    let is_primary = is_primary.into_option().unwrap_or(false);
    let lock = if is_primary { LockType::Update } else { LockType::KeyShare };
    if change.lock::<customers::Entity>(customer_id.0, lock).await?.is_none() {
        return Err(ApiError::bad_reference("customerId"));
    }
    if is_primary {
        demote_primary(change, customer_id.0).await?;
    }
    let row = Model {
        tenant_id: change.tenant().as_str().to_owned(),
        contact_id: change.id(),
        customer_id: customer_id.0,
        name: name.into_string(),
        phone: phone.into_option().map(Pii::into_stored),
        email: email.into_option().map(Pii::into_stored),
        is_primary,
        created_at: change.now().0,
        updated_at: change.now().0,
    };
    Entity::insert(row.clone().into_active_model()).exec_without_returning(change.db()).await?;
    Ok(row)
}

/// Changes the contact of the change.
///
/// # Errors
/// 404, or a fault of the database.
pub async fn update(change: &Change<'_>, body: ContactUpdate) -> Result<Model> {
    let ContactUpdate { name, phone, email, is_primary } = body;
    let is_primary = is_primary.into_option();
    if is_primary == Some(true) {
        let customer = owner(change.db(), change.tenant(), change.id()).await?.ok_or_else(ApiError::not_found)?;
        change.lock::<customers::Entity>(customer, LockType::Update).await?;
    }
    let before = change.lock::<Entity>(change.id(), LockType::Update).await?.ok_or_else(ApiError::not_found)?;
    let mut row = before.clone();
    row.name = name.into_option().map_or(row.name, Text::into_string);
    phone.apply(&mut row.phone, Pii::into_stored);
    email.apply(&mut row.email, Pii::into_stored);
    row.is_primary = is_primary.unwrap_or(row.is_primary);
    if row == before {
        return Ok(row);
    }
    if row.is_primary && !before.is_primary {
        demote_primary(change, row.customer_id).await?;
    }
    row.updated_at = change.after(before.updated_at);
    Ok(row.into_active_model().reset_all().update(change.db()).await?)
}

/// Takes the mark from the customer's primary contact, if it has one. The customer is locked.
async fn demote_primary(change: &Change<'_>, customer: Uuid) -> Result<()> {
    let primary = Entity::of(change.tenant())
        .filter(Column::CustomerId.eq(customer))
        .filter(Column::IsPrimary.eq(true))
        .all(change.db())
        .await?;
    for mut row in primary {
        row.is_primary = false;
        row.updated_at = change.after(row.updated_at);
        row.into_active_model().reset_all().update(change.db()).await?;
    }
    Ok(())
}

/// Deletes the contact of the change; its follow-ups stay, without the reference.
///
/// # Errors
/// 404, or a fault of the database.
pub async fn delete(change: &Change<'_>) -> Result<()> {
    let id = change.id();
    let customer = owner(change.db(), change.tenant(), id).await?.ok_or_else(ApiError::not_found)?;
    change.lock::<customers::Entity>(customer, LockType::KeyShare).await?;
    change.lock::<Entity>(id, LockType::Update).await?.ok_or_else(ApiError::not_found)?;
    follow_ups::store::clear_contact(change, id).await?;
    Entity::delete_of(change.tenant()).filter(Entity::ID.eq(id)).exec(change.db()).await?;
    Ok(())
}

/// Deletes the contacts of a customer that is being deleted.
///
/// # Errors
/// A fault of the database.
pub async fn delete_of_customer(change: &Change<'_>, customer: Uuid) -> Result<()> {
    Entity::delete_of(change.tenant()).filter(Column::CustomerId.eq(customer)).exec(change.db()).await?;
    Ok(())
}
