//! Queries on contacts.

use sea_orm::{ColumnTrait, Condition, ConnectionTrait, QueryFilter, QueryTrait, sea_query::LockType};
use uuid::Uuid;

use super::{
    ContactCreate, ContactUpdate,
    entity::{Column, EMAIL, Entity, Model, PHONE},
};
use crate::{
    app::App,
    change::Change,
    customers,
    database::{
        read,
        tenancy::{Listed, Tenanted},
    },
    error::{ApiError, Result},
    follow_ups,
    http::page::{List, Paging},
    pii::{Email, Phone},
    values::{Tenant, Text},
};

/// Which contacts a list holds.
#[derive(Debug, Clone)]
pub struct Sought {
    /// Those of this customer.
    pub customer: Option<Uuid>,
    /// Those with this phone number.
    pub phone: Option<Phone>,
    /// Those with this e-mail address.
    pub email: Option<Email>,
}

/// The tenant's contacts that are asked for.
///
/// # Errors
/// A fault of the database.
pub async fn list(app: &App, tenant: &Tenant, sought: Sought, paging: Paging) -> Result<List<Model>> {
    let Sought { customer, phone, email } = sought;
    let searched = phone.is_some() || email.is_some();
    let rows = Entity::of(tenant)
        .apply_if(customer, |rows, id| rows.filter(Column::CustomerId.eq(id)))
        .apply_if(PHONE.sought(app, tenant, phone)?, |rows, any| rows.filter(Column::PhoneIndex.is_in(any)))
        .apply_if(EMAIL.sought(app, tenant, email)?, |rows, any| rows.filter(Column::EmailIndex.is_in(any)));
    match searched {
        true => read::page_of_few(&app.database().read(), rows, paging).await,
        false => read::page(&app.database().read(), rows, paging).await,
    }
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
    let (phone, phone_index) = PHONE.seal(change.app(), change.row(), phone.into_option())?;
    let (email, email_index) = EMAIL.seal(change.app(), change.row(), email.into_option())?;
    let row = Model {
        tenant_id: change.tenant().as_str().to_owned(),
        contact_id: change.id(),
        customer_id: customer_id.0,
        name: name.into_string(),
        phone,
        phone_index,
        email,
        email_index,
        is_primary,
        created_at: change.now().0,
        updated_at: change.now().0,
        version: 0,
    };
    change.insert::<Entity>(row).await
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
    PHONE.apply(change.app(), change.row(), phone, (&mut row.phone, &mut row.phone_index))?;
    EMAIL.apply(change.app(), change.row(), email, (&mut row.email, &mut row.email_index))?;
    row.is_primary = is_primary.unwrap_or(row.is_primary);
    if row.is_primary && !before.is_primary {
        demote_primary(change, row.customer_id).await?;
    }
    change.update::<Entity>(before, row).await
}

/// Takes the mark from the customer's primary contact, if it has one. The customer is locked.
async fn demote_primary(change: &Change<'_>, customer: Uuid) -> Result<()> {
    let primary = Condition::all().add(Column::CustomerId.eq(customer)).add(Column::IsPrimary.eq(true));
    for before in change.lock_all::<Entity>(primary).await? {
        let row = Model { is_primary: false, ..before.clone() };
        change.update::<Entity>(before, row).await?;
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
    let row = change.lock::<Entity>(id, LockType::Update).await?.ok_or_else(ApiError::not_found)?;
    follow_ups::store::clear_contact(change, id).await?;
    change.delete::<Entity>(vec![row]).await
}

/// Deletes the contacts of a customer that is being deleted.
///
/// # Errors
/// A fault of the database.
pub async fn delete_of_customer(change: &Change<'_>, customer: Uuid) -> Result<()> {
    let rows = change.lock_all::<Entity>(Column::CustomerId.eq(customer)).await?;
    change.delete::<Entity>(rows).await
}
