//! Queries on customers.

use sea_orm::{ConnectionTrait, sea_query::LockType};

use super::{
    entity::{CONTACT_EMAIL, CONTACT_PHONE, Entity, Model},
    status::CustomerStatus,
    types::{CustomerCreate, CustomerUpdate},
};
use crate::{
    change::Change,
    database::list::{Criterion, ListQuery, Order, Rows, Slice, Total},
    error::Result,
    pii::{Email, Lookup, Phone, PiiCipher},
    resource::totals,
    values::{Tenant, Text},
};

/// Which customers to list.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Only with this phone number.
    pub phone: Option<Phone>,
    /// Only with this e-mail address.
    pub email: Option<Email>,
}

impl Filter {
    /// The fields with personal data that are searched by.
    pub fn searched(&self) -> Vec<&'static str> {
        let fields = [("contactPhone", self.phone.is_some()), ("contactEmail", self.email.is_some())];
        fields.into_iter().filter_map(|(field, is_searched)| is_searched.then_some(field)).collect()
    }
}

/// A page of the tenant's customers.
///
/// # Errors
/// A database error.
pub async fn list(
    db: &impl ConnectionTrait,
    cipher: &PiiCipher,
    tenant: &Tenant,
    Filter { phone, email }: Filter,
    slice: Slice,
) -> Result<Rows<Model>> {
    let phone = phone.map(|phone| CONTACT_PHONE.lookup(cipher, tenant, &phone)).transpose()?;
    let email = email.map(|email| CONTACT_EMAIL.lookup(cipher, tenant, &email)).transpose()?;
    let found_by = |Lookup { condition, ids }| Criterion::<Entity>::found_by(condition, ids);
    let criteria: Vec<_> = phone.into_iter().chain(email).map(found_by).collect();
    let total = match criteria.as_slice() {
        [] => totals::of_tenant::<Entity>(db.get_database_backend(), tenant),
        _ => Total::Counted,
    };
    ListQuery { criteria, order: Order::default(), slice, total }.read(db, tenant).await
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
    change.insert::<Entity>(row).await
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
