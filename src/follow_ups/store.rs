//! Queries on follow-ups.

use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QueryTrait, sea_query::LockType};
use uuid::Uuid;

use super::{
    FollowUpCreate, FollowUpUpdate,
    entity::{Column, Entity, Model},
    types::{Content, FollowUpType},
};
use crate::{
    change::Change,
    contacts, customers,
    database::{read, tenancy::Tenanted},
    error::{ApiError, ErrorCode, Result},
    http::page::{List, Paging},
    opportunities,
    values::{Clearable, ContractValue, Id, Tenant, Text},
};

/// Which follow-ups a list holds.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// Those of this customer.
    pub customer: Option<Uuid>,
    /// Those of this opportunity.
    pub opportunity: Option<Uuid>,
}

/// The tenant's follow-ups, about what is asked for.
///
/// # Errors
/// A fault of the database.
pub async fn list(db: &impl ConnectionTrait, tenant: &Tenant, about: About, paging: Paging) -> Result<List<Model>> {
    let rows = Entity::of(tenant)
        .apply_if(about.customer, |rows, id| rows.filter(Column::CustomerId.eq(id)))
        .apply_if(about.opportunity, |rows, id| rows.filter(Column::OpportunityId.eq(id)));
    read::page(db, rows, paging).await
}

/// One follow-up.
///
/// # Errors
/// 404, or a fault of the database.
pub async fn find(db: &impl ConnectionTrait, tenant: &Tenant, id: Uuid) -> Result<Model> {
    read::one::<Entity>(db, tenant, id).await
}

/// Stores a new follow-up under the change's id.
///
/// # Errors
/// 400 where a reference does not exist or belongs to another customer, or a fault of the database.
pub async fn insert(change: &Change<'_>, body: FollowUpCreate) -> Result<Model> {
    let FollowUpCreate { content, customer_id, opportunity_id, contact_id, follow_up_type } = body;
    let id = |field: Clearable<Id>| field.into_option().map(|id| id.0);
    let mut row = Model {
        tenant_id: change.tenant().as_str().to_owned(),
        follow_up_id: change.id(),
        customer_id: id(customer_id),
        opportunity_id: id(opportunity_id),
        contact_id: id(contact_id),
        content: content.into_string(),
        follow_up_type: follow_up_type.into_option().map_or_else(|| "note".to_owned(), FollowUpType::into_string),
        created_at: change.now().0,
        updated_at: change.now().0,
        version: 0,
    };
    hold_references(change, &mut row).await?;
    change.insert::<Entity>(row).await
}

/// Changes the follow-up of the change.
///
/// # Errors
/// 404, 400 where a reference does not exist or belongs to another customer, or a fault of the database.
pub async fn update(change: &Change<'_>, body: FollowUpUpdate) -> Result<Model> {
    let FollowUpUpdate { content, follow_up_type, customer_id, opportunity_id, contact_id } = body;
    let refers = [&customer_id, &opportunity_id, &contact_id].iter().any(|field| **field != Clearable::Absent);
    let clears_customer = customer_id == Clearable::Null;
    // References are locked before what refers to them; where they stay as they are, the row alone is.
    let before = match refers {
        true => find(change.db(), change.tenant(), change.id()).await?,
        false => change.lock::<Entity>(change.id(), LockType::Update).await?.ok_or_else(ApiError::not_found)?,
    };
    let mut row = before.clone();
    row.content = content.into_option().map_or(row.content, Text::into_string);
    row.follow_up_type = follow_up_type.into_option().map_or(row.follow_up_type, Text::into_string);
    customer_id.apply(&mut row.customer_id, |id| id.0);
    opportunity_id.apply(&mut row.opportunity_id, |id| id.0);
    contact_id.apply(&mut row.contact_id, |id| id.0);
    if clears_customer && (row.opportunity_id.is_some() || row.contact_id.is_some()) {
        return Err(ApiError::bad_request(
            "customerId: must not be null while the follow-up has an opportunity or a contact",
        ));
    }
    if !refers || row == before {
        return change.update::<Entity>(before, row).await;
    }
    let held = hold_references(change, &mut row).await;
    if let Err(fault) = &held
        && fault.code() != ErrorCode::BadRequest
    {
        return Err(fault.clone());
    }
    // The row may have changed since it was read: then all of this was judged by what is no more, a refusal too, and is
    // done again.
    let locked = change.lock::<Entity>(change.id(), LockType::Update).await?;
    if locked.ok_or_else(ApiError::not_found)? != before {
        return Err(ApiError::contention("the follow-up was changed at the same time"));
    }
    held?;
    change.update::<Entity>(before, row).await
}

/// Adds a last line to the content of the follow-up of the change.
///
/// # Errors
/// 400 where the tenant has no such follow-up or its content would get too long, or a fault of the database.
pub async fn add_line(change: &Change<'_>, line: &str) -> Result<()> {
    let before = change.lock::<Entity>(change.id(), LockType::Update).await?;
    let before = before.ok_or_else(|| ApiError::bad_reference("followUpId"))?;
    let content = Content::from_value(format!("{}\n{line}", before.content).into())
        .map_err(|flaw| ApiError::bad_request(format!("content: {flaw}")))?;
    let row = Model { content: content.into_string(), ..before.clone() };
    change.update::<Entity>(before, row).await.map(drop)
}

/// Checks that what the follow-up refers to exists and belongs to one customer, which is filled in where it is missing,
/// and locks it against deletion: from the customer down (see [`Change::lock`]).
async fn hold_references(change: &Change<'_>, row: &mut Model) -> Result<()> {
    let (db, tenant) = (change.db(), change.tenant());
    let of_opportunity = match row.opportunity_id {
        Some(id) => Some(
            opportunities::store::owner(db, tenant, id)
                .await?
                .ok_or_else(|| ApiError::bad_reference("opportunityId"))?,
        ),
        None => None,
    };
    let of_contact = match row.contact_id {
        Some(id) => {
            Some(contacts::store::owner(db, tenant, id).await?.ok_or_else(|| ApiError::bad_reference("contactId"))?)
        }
        None => None,
    };
    row.customer_id = row.customer_id.or(of_opportunity).or(of_contact);
    let Some(customer) = row.customer_id else { return Ok(()) };

    change
        .lock::<customers::Entity>(customer, LockType::KeyShare)
        .await?
        .ok_or_else(|| ApiError::bad_reference("customerId"))?;
    for (field, owner) in [("opportunityId", of_opportunity), ("contactId", of_contact)] {
        if owner.is_some_and(|owner| owner != customer) {
            return Err(ApiError::bad_request(format!("{field}: belongs to another customer")));
        }
    }
    if let Some(id) = row.opportunity_id {
        let held = change.lock::<opportunities::Entity>(id, LockType::KeyShare).await?;
        held.ok_or_else(|| ApiError::bad_reference("opportunityId"))?;
    }
    if let Some(id) = row.contact_id {
        let held = change.lock::<contacts::Entity>(id, LockType::KeyShare).await?;
        held.ok_or_else(|| ApiError::bad_reference("contactId"))?;
    }
    Ok(())
}

/// Deletes the follow-up of the change.
///
/// # Errors
/// 404, or a fault of the database.
pub async fn delete(change: &Change<'_>) -> Result<()> {
    let row = change.lock::<Entity>(change.id(), LockType::Update).await?.ok_or_else(ApiError::not_found)?;
    change.delete::<Entity>(vec![row]).await
}

/// Deletes the follow-ups of a customer that is being deleted.
///
/// # Errors
/// A fault of the database.
pub async fn delete_of_customer(change: &Change<'_>, customer: Uuid) -> Result<()> {
    let rows = change.lock_all::<Entity>(Column::CustomerId.eq(customer)).await?;
    change.delete::<Entity>(rows).await
}

/// Takes the reference to an opportunity that is being deleted from its follow-ups.
///
/// # Errors
/// A fault of the database.
pub async fn clear_opportunity(change: &Change<'_>, opportunity: Uuid) -> Result<()> {
    clear(change, Column::OpportunityId, opportunity, |row| Model { opportunity_id: None, ..row }).await
}

/// Takes the reference to a contact that is being deleted from its follow-ups.
///
/// # Errors
/// A fault of the database.
pub async fn clear_contact(change: &Change<'_>, contact: Uuid) -> Result<()> {
    clear(change, Column::ContactId, contact, |row| Model { contact_id: None, ..row }).await
}

/// In the change itself: `ON DELETE SET NULL` of a composite key would clear the tenant too.
async fn clear(change: &Change<'_>, reference: Column, id: Uuid, cleared: fn(Model) -> Model) -> Result<()> {
    for before in change.lock_all::<Entity>(reference.eq(id)).await? {
        change.update::<Entity>(before.clone(), cleared(before)).await?;
    }
    Ok(())
}
