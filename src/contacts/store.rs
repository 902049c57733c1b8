//! Queries on contacts.

use sea_orm::{
    ColumnTrait, Condition, QueryFilter,
    sea_query::{Expr, ExprTrait, LockType},
};
use uuid::Uuid;

use super::{
    entity::{Column, EMAIL, Entity, Model, PHONE},
    types::{ContactCreate, ContactUpdate},
};
use crate::{
    change::Change,
    customers,
    database::{
        list::{Criterion, KeptPage, ListQuery, ListSource, Order, Rows, Slice},
        tenancy::Tenanted,
    },
    error::Result,
    http::listing::Listing,
    pii::Lookup,
    resource::{searching::found_by, totals},
    values::{Tenant, Text},
};

/// Which contacts to list.
#[derive(Debug)]
pub struct Filter {
    /// Only what is found by these: a phone number, an e-mail address.
    pub lookups: Vec<Lookup>,
    /// Only those that are, or are not, primary.
    pub is_primary: Option<bool>,
}

impl Filter {
    /// What the contacts are to meet.
    pub fn criteria(self) -> Vec<Criterion<Entity>> {
        let Self { lookups, is_primary } = self;
        let primary = is_primary.map(|is_primary| Criterion::equal(Column::IsPrimary, is_primary));
        lookups.into_iter().map(found_by).chain(primary).collect()
    }
}

/// A page of the tenant's contacts that meet the criteria, optionally only those of one customer.
///
/// # Errors
/// A database error.
pub async fn list(
    db: &impl ListSource,
    tenant: &Tenant,
    (customer, criteria): (Option<Uuid>, Vec<Criterion<Entity>>),
    listing: &Listing<Entity>,
    slice: Slice,
) -> Result<KeptPage<Model>> {
    let kept = totals::of_customer::<Entity, customers::Entity>(db.get_database_backend(), tenant, customer);
    listing.query(kept, criteria, Column::UpdatedAt, slice).page(db, tenant).await
}

/// The customer's contacts, the primary one first and then the newest, at most so many, and how many there are.
///
/// # Errors
/// A database error.
pub async fn first_of_customer(
    db: &impl ListSource,
    tenant: &Tenant,
    customer: Uuid,
    limit: u64,
) -> Result<Rows<Model>> {
    let (criteria, total) =
        totals::of_customer::<Entity, customers::Entity>(db.get_database_backend(), tenant, Some(customer));
    let slice = Slice { offset: 0, limit, after: None };
    let mut rows = ListQuery { criteria, order: Order::default(), slice, total }.read(db, tenant).await?;
    let primary = Entity::of(tenant).filter(is_primary_of(customer)).all(db).await?;
    if !primary.is_empty() {
        let others = rows.data.into_iter().filter(|row| !row.is_primary);
        rows.data = primary.into_iter().chain(others).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
    }
    Ok(rows)
}

/// Inserts a new contact with the id of the change.
///
/// # Errors
/// Invalid, if the customer does not exist, or a database error.
pub async fn insert(change: &mut Change<'_>, body: ContactCreate) -> Result<Model> {
    let ContactCreate { customer_id, name, phone, email, is_primary } = body;
    let is_primary = is_primary.into_option().unwrap_or(false);
    let lock = if is_primary { LockType::Update } else { LockType::KeyShare };
    change.lock_referenced::<customers::Entity>("customerId", customer_id.0, lock).await?;
    if is_primary {
        demote_primary(change, customer_id.0).await?;
    }
    let mut row = Model {
        tenant_id: change.tenant().as_str().to_owned(),
        contact_id: change.id(),
        customer_id: customer_id.0,
        name: name.into_string(),
        phone: None,
        phone_index: None,
        phone_indexed: None,
        phone_base_index: None,
        email: None,
        email_index: None,
        email_indexed: None,
        is_primary,
        created_at: change.now().0,
        updated_at: change.now().0,
        version: 0,
        deleted_at: None,
        name_sort: String::new(),
    };
    PHONE.put(change.cipher(), change.location(), row.phone_slot(), phone.into_option())?;
    EMAIL.put(change.cipher(), change.location(), row.email_slot(), email.into_option())?;
    change.insert::<Entity>(row)
}

/// Updates the contact of the change.
///
/// # Errors
/// Not found, or a database error.
pub async fn update(change: &mut Change<'_>, body: ContactUpdate) -> Result<Model> {
    let ContactUpdate { name, phone, email, is_primary } = body;
    let is_primary = is_primary.into_option();
    let before = match is_primary {
        Some(true) => change.lock_own_below::<customers::Entity, Entity>(LockType::Update).await?,
        Some(false) | None => change.lock_own::<Entity>().await?,
    };
    let mut row = before.clone();
    row.name = name.into_option().map_or(row.name, Text::into_string);
    PHONE.apply(change.cipher(), change.location(), row.phone_slot(), phone)?;
    EMAIL.apply(change.cipher(), change.location(), row.email_slot(), email)?;
    row.is_primary = is_primary.unwrap_or(row.is_primary);
    if row.is_primary && !before.is_primary {
        demote_primary(change, row.customer_id).await?;
    }
    change.update::<Entity>(before, row).await
}

/// Whether a contact is the primary one of the customer: in the words of the index of primary contacts, which is not looked at for a
/// value that is bound.
fn is_primary_of(customer: Uuid) -> Condition {
    let is_primary = Column::IsPrimary.into_expr().eq(Expr::cust("TRUE"));
    Condition::all().add(Column::CustomerId.eq(customer)).add(is_primary)
}

/// Demotes the customer's primary contact, if there is one. The customer must be locked.
async fn demote_primary(change: &mut Change<'_>, customer: Uuid) -> Result<()> {
    if let Some(before) = change.lock_matching::<Entity>(is_primary_of(customer)).await? {
        let row = Model { is_primary: false, ..before.clone() };
        change.update::<Entity>(before, row).await?;
    }
    Ok(())
}

/// Deletes the contact of the change; its follow-ups stay, without their reference to it.
///
/// # Errors
/// Not found, or a database error.
pub async fn delete(change: &mut Change<'_>) -> Result<()> {
    let row = change.lock_own_below::<customers::Entity, Entity>(LockType::KeyShare).await?;
    change.delete_own::<Entity>(row).await
}
