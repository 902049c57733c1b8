//! Queries on follow-ups.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryTrait, Value,
    sea_query::{CaseStatement, Expr, ExprTrait, LockType},
};
use uuid::Uuid;

use super::{
    FollowUpCreate, FollowUpUpdate,
    entity::{Column, Entity, Model},
    types::FollowUpType,
};
use crate::{
    change::Change,
    contacts, customers,
    database::{
        read,
        tenancy::{Resource, Tenanted},
    },
    error::{ApiError, ErrorCode, Result},
    http::page::{List, Paging},
    opportunities,
    values::{Clearable, Id, Tenant, Text},
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
    };
    hold_references(change, &mut row).await?;
    Entity::insert(row.clone().into_active_model()).exec_without_returning(change.db()).await?;
    Ok(row)
}

/// Changes the follow-up of the change.
///
/// # Errors
/// 404, 400 where a reference does not exist or belongs to another customer, or a fault of the database.
pub async fn update(change: &Change<'_>, body: FollowUpUpdate) -> Result<Model> {
    let FollowUpUpdate { content, follow_up_type, customer_id, opportunity_id, contact_id } = body;
    let clears_customer = customer_id == Clearable::Null;
    let before = find(change.db(), change.tenant(), change.id()).await?;
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
    if row == before {
        return Ok(row);
    }
    let held = hold_references(change, &mut row).await;
    if let Err(fault) = &held
        && fault.code() != ErrorCode::BadRequest
    {
        return Err(fault.clone());
    }
    // References are locked before what refers to them, so the row may have changed since it was read: then all of this
    // was judged by what is no more, a refusal too, and is done again.
    let locked = change.lock::<Entity>(change.id(), LockType::Update).await?;
    if locked.ok_or_else(ApiError::not_found)? != before {
        return Err(ApiError::contention("the follow-up was changed at the same time"));
    }
    held?;
    row.updated_at = change.after(before.updated_at);
    Ok(row.into_active_model().reset_all().update(change.db()).await?)
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
    let deleted = Entity::delete_of(change.tenant()).filter(Entity::ID.eq(change.id())).exec(change.db()).await?;
    if deleted.rows_affected == 0 { Err(ApiError::not_found()) } else { Ok(()) }
}

/// Deletes the follow-ups of a customer that is being deleted.
///
/// # Errors
/// A fault of the database.
pub async fn delete_of_customer(change: &Change<'_>, customer: Uuid) -> Result<()> {
    Entity::delete_of(change.tenant()).filter(Column::CustomerId.eq(customer)).exec(change.db()).await?;
    Ok(())
}

/// Takes the reference to an opportunity that is being deleted from its follow-ups.
///
/// # Errors
/// A fault of the database.
pub async fn clear_opportunity(change: &Change<'_>, opportunity: Uuid) -> Result<()> {
    clear(change, Column::OpportunityId, opportunity).await
}

/// Takes the reference to a contact that is being deleted from its follow-ups.
///
/// # Errors
/// A fault of the database.
pub async fn clear_contact(change: &Change<'_>, contact: Uuid) -> Result<()> {
    clear(change, Column::ContactId, contact).await
}

/// In the change itself: `ON DELETE SET NULL` of a composite key would clear the tenant too.
async fn clear(change: &Change<'_>, reference: Column, id: Uuid) -> Result<()> {
    let now = Expr::val(change.now().0);
    let updated_at = Expr::col(Column::UpdatedAt);
    let later = CaseStatement::new().case(ExprTrait::lt(updated_at.clone(), now.clone()), now).finally(updated_at);
    Entity::update_of(change.tenant())
        .col_expr(reference, Expr::val(Value::Uuid(None)))
        .col_expr(Column::UpdatedAt, later.into())
        .filter(reference.eq(id))
        .exec(change.db())
        .await?;
    Ok(())
}
