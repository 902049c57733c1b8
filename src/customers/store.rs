//! Queries on customers.

use sea_orm::{
    Condition,
    sea_query::{Expr, ExprTrait, LockType, Query},
};

use super::{
    entity::{CONTACT_EMAIL, CONTACT_PHONE, Column, Entity, Model},
    status::CustomerStatus,
    types::{CustomerCreate, CustomerUpdate},
};
use crate::{
    change::Change,
    database::list::{Criterion, KeptPage, ListSource, Slice},
    error::Result,
    http::listing::Listing,
    pii::Lookup,
    resource::{searching::found_by, totals},
    values::{Tenant, Text, integer_enum::IntegerEnum},
};

/// Which customers to list.
#[derive(Debug)]
pub struct Filter {
    /// Only what is found by these: a phone number, an e-mail address.
    pub lookups: Vec<Lookup>,
    /// Only with one of these statuses, unless there are none.
    pub statuses: Vec<CustomerStatus>,
    /// Only those that have, or have not, an open opportunity.
    pub has_open_opportunities: Option<bool>,
}

impl Filter {
    /// What the customers are to meet.
    pub fn criteria(self, tenant: &Tenant) -> Vec<Criterion<Entity>> {
        let Self { lookups, statuses, has_open_opportunities } = self;
        let status = Criterion::one_of(Column::Status, statuses.into_iter().map(IntegerEnum::code));
        let open = has_open_opportunities.map(|has| with_open_opportunities(tenant, has));
        lookups.into_iter().map(found_by).chain(status).chain(open).collect()
    }
}

/// The customers that have, or have not, an open opportunity. Opportunities are a room above this one; their table is not.
fn with_open_opportunities(tenant: &Tenant, has: bool) -> Criterion<Entity> {
    const TABLE: &str = "opportunities";
    let owner = || Expr::col((TABLE, "customer_id"));
    let mut open = Query::select();
    open.from(TABLE).and_where(Expr::col((TABLE, "tenant_id")).eq(tenant.as_str()));
    let mut of_customer = open.clone();
    of_customer.expr(Expr::val(1)).and_where(owner().eq(Expr::col((Entity, Column::CustomerId))));
    // Those of a customer are found by it. PostgreSQL would take the index of those that are open for a shorter way, before it
    // has statistics.
    of_customer.and_where(Expr::cust("coalesce(opportunities.status, 0) = 0 AND opportunities.deleted_at IS NULL"));
    // As in the index of those that are open.
    open.and_where(Expr::cust("opportunities.status = 0 AND opportunities.deleted_at IS NULL"));
    // Asked of one customer after the other: PostgreSQL would else read all that are open, once.
    let exists = Expr::exists(of_customer.limit(1).offset(0).take());
    match has {
        true => Criterion::found_by(Condition::all().add(exists), open.expr(owner()).take()),
        false => Criterion::only(Condition::all().add(exists.not())),
    }
}

/// A page of the tenant's customers that meet the criteria.
///
/// # Errors
/// A database error.
pub async fn list(
    db: &impl ListSource,
    tenant: &Tenant,
    criteria: Vec<Criterion<Entity>>,
    listing: &Listing<Entity>,
    slice: Slice,
) -> Result<KeptPage<Model>> {
    let total = totals::of_tenant::<Entity>(db.get_database_backend());
    listing.query((Vec::new(), total), criteria, Column::UpdatedAt, slice).page(db, tenant).await
}

/// Inserts a new customer with the id of the change.
///
/// # Errors
/// A database error.
pub async fn insert(change: &mut Change<'_>, body: CustomerCreate) -> Result<Model> {
    let CustomerCreate { name, contact_phone, contact_email } = body;
    let mut row = Model {
        tenant_id: change.tenant().as_str().to_owned(),
        customer_id: change.id(),
        name: name.into_string(),
        contact_phone: None,
        contact_phone_index: None,
        contact_phone_indexed: None,
        contact_phone_base_index: None,
        contact_email: None,
        contact_email_index: None,
        contact_email_indexed: None,
        status: CustomerStatus::Prospect,
        created_at: change.now().0,
        updated_at: change.now().0,
        version: 0,
        deleted_at: None,
        name_sort: String::new(),
    };
    let (cipher, location) = (change.cipher(), change.location());
    CONTACT_PHONE.put(cipher, location, row.contact_phone_slot(), contact_phone.into_option())?;
    CONTACT_EMAIL.put(cipher, location, row.contact_email_slot(), contact_email.into_option())?;
    change.insert::<Entity>(row)
}

/// Updates the customer of the change.
///
/// # Errors
/// Not found, or a database error.
pub async fn update(change: &mut Change<'_>, body: CustomerUpdate) -> Result<Model> {
    let CustomerUpdate { name, contact_phone, contact_email } = body;
    let before = change.lock_own::<Entity>().await?;
    let mut row = before.clone();
    row.name = name.into_option().map_or(row.name, Text::into_string);
    CONTACT_PHONE.apply(change.cipher(), change.location(), row.contact_phone_slot(), contact_phone)?;
    CONTACT_EMAIL.apply(change.cipher(), change.location(), row.contact_email_slot(), contact_email)?;
    change.update::<Entity>(before, row).await
}

/// Marks the customer of the change as signed; no effect if it is already.
///
/// # Errors
/// Invalid, if the tenant has no such customer, or a database error.
pub async fn sign(change: &mut Change<'_>) -> Result<()> {
    let before = change.lock_referenced::<Entity>("customerId", change.id(), LockType::Update).await?;
    let row = Model { status: CustomerStatus::Signed, ..before.clone() };
    change.update::<Entity>(before, row).await.map(drop)
}

/// Deletes the customer of the change, with everything that belongs to it.
///
/// # Errors
/// Not found, or a database error.
pub async fn delete(change: &mut Change<'_>) -> Result<()> {
    let row = change.lock_own::<Entity>().await?;
    change.delete_own::<Entity>(row).await
}
