//! Queries on customers.

use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QueryTrait, sea_query::LockType};
use uuid::Uuid;

use super::{
    CustomerCreate, CustomerStatus, CustomerUpdate,
    entity::{CONTACT_EMAIL, CONTACT_PHONE, Column, Entity, Model},
};
use crate::{
    app::App,
    change::Change,
    contacts,
    database::{read, tenancy::Tenanted},
    error::{ApiError, Result},
    follow_ups,
    http::page::{List, Paging},
    opportunities,
    pii::{Email, Phone},
    values::{Tenant, Text},
};

/// The tenant's customers, all or those with this phone number or e-mail address.
///
/// # Errors
/// A fault of the database.
pub async fn list(
    app: &App,
    tenant: &Tenant,
    (phone, email): (Option<Phone>, Option<Email>),
    paging: Paging,
) -> Result<List<Model>> {
    let searched = phone.is_some() || email.is_some();
    let rows = Entity::of(tenant)
        .apply_if(CONTACT_PHONE.sought(app, tenant, phone)?, |rows, any| {
            rows.filter(Column::ContactPhoneIndex.is_in(any))
        })
        .apply_if(CONTACT_EMAIL.sought(app, tenant, email)?, |rows, any| {
            rows.filter(Column::ContactEmailIndex.is_in(any))
        });
    match searched {
        true => read::page_of_few(&app.database().read(), rows, paging).await,
        false => read::page(&app.database().read(), rows, paging).await,
    }
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
    let (contact_phone, contact_phone_index) =
        CONTACT_PHONE.seal(change.app(), change.row(), contact_phone.into_option())?;
    let (contact_email, contact_email_index) =
        CONTACT_EMAIL.seal(change.app(), change.row(), contact_email.into_option())?;
    let row = Model {
        tenant_id: change.tenant().as_str().to_owned(),
        customer_id: change.id(),
        name: name.into_string(),
        contact_phone,
        contact_phone_index,
        contact_email,
        contact_email_index,
        status: CustomerStatus::Prospect,
        created_at: change.now().0,
        updated_at: change.now().0,
        version: 0,
    };
    change.insert::<Entity>(row).await
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
    let phone = (&mut row.contact_phone, &mut row.contact_phone_index);
    CONTACT_PHONE.apply(change.app(), change.row(), contact_phone, phone)?;
    let email = (&mut row.contact_email, &mut row.contact_email_index);
    CONTACT_EMAIL.apply(change.app(), change.row(), contact_email, email)?;
    change.update::<Entity>(before, row).await
}

/// Signs the customer of the change; one that is signed stays so.
///
/// # Errors
/// 400 where the tenant has no such customer, or a fault of the database.
pub async fn sign(change: &Change<'_>) -> Result<()> {
    let before = change.lock::<Entity>(change.id(), LockType::Update).await?;
    let before = before.ok_or_else(|| ApiError::bad_reference("customerId"))?;
    let row = Model { status: CustomerStatus::Signed, ..before.clone() };
    change.update::<Entity>(before, row).await.map(drop)
}

/// Deletes the customer of the change, with all that belongs to it.
///
/// # Errors
/// 404, or a fault of the database.
pub async fn delete(change: &Change<'_>) -> Result<()> {
    let id = change.id();
    let row = change.lock::<Entity>(id, LockType::Update).await?.ok_or_else(ApiError::not_found)?;
    follow_ups::store::delete_of_customer(change, id).await?;
    opportunities::store::delete_of_customer(change, id).await?;
    contacts::store::delete_of_customer(change, id).await?;
    change.delete::<Entity>(vec![row]).await
}
