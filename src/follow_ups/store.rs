//! Queries on follow-ups.

use sea_orm::{ColumnTrait, DbBackend, QueryFilter, QueryTrait, sea_query::LockType};
use uuid::Uuid;

use super::{
    entity::{Column, Entity, Model},
    types::{Content, FollowUpCreate, FollowUpType, FollowUpUpdate},
};
use crate::{
    change::Change,
    contacts, customers,
    database::{
        list::{Criterion, KeptPage, ListQuery, ListSource, Order, Rows, Slice, Total},
        tenancy::Listed,
    },
    error::{Error, ErrorKind, Result},
    http::listing::Listing,
    opportunities,
    resource::{OfCustomer, deletion::refers_to, totals},
    values::{Clearable, ContractValue, Id, Tenant, Text},
};

/// Which follow-ups to list.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Only of this customer.
    pub customer: Option<Uuid>,
    /// Only of this opportunity.
    pub opportunity: Option<Uuid>,
    /// Only of one of these types, unless there are none.
    pub types: Vec<String>,
    /// Only those whose content holds the words that are searched.
    pub words: Option<Criterion<Entity>>,
}

/// A page of the tenant's follow-ups.
///
/// # Errors
/// A database error.
pub async fn list(
    db: &impl ListSource,
    tenant: &Tenant,
    Filter { customer, opportunity, types, words }: Filter,
    listing: &Listing<Entity>,
    slice: Slice,
) -> Result<KeptPage<Model>> {
    let kept = kept(db.get_database_backend(), tenant, (customer, opportunity));
    let filters = Criterion::one_of(Column::FollowUpType, types).into_iter().chain(words).collect();
    listing.query(kept, filters, Column::UpdatedAt, slice).page(db, tenant).await
}

/// The newest follow-ups of the customer, or of the opportunity, at most so many, and how many there are.
///
/// # Errors
/// A database error.
pub async fn newest(
    db: &impl ListSource,
    tenant: &Tenant,
    of: (Option<Uuid>, Option<Uuid>),
    limit: u64,
) -> Result<Rows<Model>> {
    let (criteria, total) = kept(db.get_database_backend(), tenant, of);
    let slice = Slice { offset: 0, limit, after: None };
    ListQuery { criteria, order: Order::default(), slice, total }.read(db, tenant).await
}

/// The follow-ups of the customer and the opportunity that are named, and their total.
fn kept(
    backend: DbBackend,
    tenant: &Tenant,
    (customer, opportunity): (Option<Uuid>, Option<Uuid>),
) -> (Vec<Criterion<Entity>>, Total) {
    let of_customer = totals::of_customer::<Entity, customers::Entity>(backend, tenant, customer);
    let Some(id) = opportunity else { return of_customer };
    let column = Column::OpportunityId;
    let of_opportunity = Criterion::equal_where(column, refers_to(tenant, column, id));
    // All follow-ups of an opportunity are of its customer.
    let of = opportunities::Entity::CUSTOMER;
    let opportunity = opportunities::Entity::one(tenant, id);
    let owner = (opportunity.apply_if(customer, |rows, customer| rows.filter(of.eq(customer))), id);
    let total = totals::of_owner::<Entity, _>(backend, column, owner);
    (std::iter::once(of_opportunity).chain(of_customer.0).collect(), total)
}

/// Inserts a new follow-up with the id of the change.
///
/// # Errors
/// Invalid, if a reference does not exist or belongs to another customer, or a database error.
pub async fn insert(change: &mut Change<'_>, body: FollowUpCreate) -> Result<Model> {
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
    lock_references(change, &mut row).await?;
    change.insert::<Entity>(row)
}

/// Updates the follow-up of the change.
///
/// # Errors
/// Not found; another version than expected; invalid, if a reference does not exist or belongs to another customer; or a
/// database error.
pub async fn update(change: &mut Change<'_>, body: FollowUpUpdate) -> Result<Model> {
    let FollowUpUpdate { content, follow_up_type, customer_id, opportunity_id, contact_id } = body;
    let refers = [&customer_id, &opportunity_id, &contact_id].iter().any(|field| **field != Clearable::Absent);
    let clears_customer = customer_id == Clearable::Null;
    // Referenced rows are locked before the row that references them. If no reference changes, only the row itself is.
    let before = match refers {
        true => change.read_own::<Entity>().await?,
        false => change.lock_own::<Entity>().await?,
    };
    let mut row = before.clone();
    row.content = content.into_option().map_or(row.content, Text::into_string);
    row.follow_up_type = follow_up_type.into_option().map_or(row.follow_up_type, Text::into_string);
    customer_id.apply(&mut row.customer_id, |id| id.0);
    opportunity_id.apply(&mut row.opportunity_id, |id| id.0);
    contact_id.apply(&mut row.contact_id, |id| id.0);
    if clears_customer && (row.opportunity_id.is_some() || row.contact_id.is_some()) {
        return Err(Error::invalid("customerId: must not be null while the follow-up has an opportunity or a contact"));
    }
    if !refers || row == before {
        return change.update::<Entity>(before, row).await;
    }
    let locked = lock_references(change, &mut row).await;
    if let Err(error) = &locked
        && error.kind() != ErrorKind::Invalid
    {
        return Err(error.clone());
    }
    // The row was read without a lock. If it has changed since, the checks above judged outdated data, even when they
    // rejected the change: retry.
    if change.lock_own::<Entity>().await? != before {
        return Err(Error::contention("the follow-up was changed at the same time"));
    }
    locked?;
    change.update::<Entity>(before, row).await
}

/// Appends a line to the content of the change's follow-up.
///
/// # Errors
/// Invalid, if the tenant has no such follow-up or its content would become too long, or a database error.
pub async fn add_line(change: &mut Change<'_>, line: &str) -> Result<()> {
    let before = change.lock_referenced::<Entity>("followUpId", change.id(), LockType::Update).await?;
    let content = Content::from_value(format!("{}\n{line}", before.content).into())
        .map_err(|violation| Error::invalid(format!("content: {violation}")))?;
    let row = Model { content: content.into_string(), ..before.clone() };
    change.update::<Entity>(before, row).await.map(drop)
}

/// Checks that all references exist and belong to one customer, which is filled in if missing, and locks them against
/// deletion, from the customer down (see [`Change::lock`]).
async fn lock_references(change: &mut Change<'_>, row: &mut Model) -> Result<()> {
    let of_opportunity = customer_of::<opportunities::Entity>(change, "opportunityId", row.opportunity_id).await?;
    let of_contact = customer_of::<contacts::Entity>(change, "contactId", row.contact_id).await?;
    row.customer_id = row.customer_id.or(of_opportunity).or(of_contact);
    let Some(customer) = row.customer_id else { return Ok(()) };

    change.lock_referenced::<customers::Entity>("customerId", customer, LockType::KeyShare).await?;
    for (field, owner) in [("opportunityId", of_opportunity), ("contactId", of_contact)] {
        if owner.is_some_and(|owner| owner != customer) {
            return Err(Error::invalid(format!("{field}: belongs to another customer")));
        }
    }
    if let Some(id) = row.opportunity_id {
        change.lock_referenced::<opportunities::Entity>("opportunityId", id, LockType::KeyShare).await?;
    }
    if let Some(id) = row.contact_id {
        change.lock_referenced::<contacts::Entity>("contactId", id, LockType::KeyShare).await?;
    }
    Ok(())
}

/// The customer of the resource that a field references, if it references any.
async fn customer_of<E: OfCustomer>(change: &Change<'_>, field: &str, id: Option<Uuid>) -> Result<Option<Uuid>> {
    let Some(id) = id else { return Ok(None) };
    change.customer_of::<E>(id).await?.ok_or_else(|| Error::bad_reference(field)).map(Some)
}

/// Deletes the follow-up of the change.
///
/// # Errors
/// Not found, or a database error.
pub async fn delete(change: &mut Change<'_>) -> Result<()> {
    let row = change.lock_own::<Entity>().await?;
    change.delete_own::<Entity>(row).await
}
