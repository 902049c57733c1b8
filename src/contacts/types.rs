//! Contacts in the contract.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::entity::Model;
use crate::{
    pii::{Email, EmailRule, Phone, PhoneRule, Shown, Sight},
    values::{Clearable, Field, Id, Name, Nullable, Tenant, Timestamp},
};

/// A new contact.
#[derive(Debug, Clone, Object, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContactCreate {
    /// The customer that the contact belongs to; it must exist and cannot be changed later.
    pub customer_id: Id,
    /// The person's name.
    pub name: Name,
    /// A telephone number; masked in replies without the scope `crm:pii:read`.
    #[serde(default)]
    pub phone: Clearable<Phone>,
    /// An e-mail address; masked in replies without the scope `crm:pii:read`.
    #[serde(default)]
    pub email: Clearable<Email>,
    /// Whether this is the customer's primary contact; `true` demotes the former one. Without it: `false`.
    #[serde(default)]
    pub is_primary: Field<bool>,
}

/// Changes to a contact: an absent field stays as it is.
#[derive(Debug, Clone, Object, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContactUpdate {
    /// The person's name.
    #[serde(default)]
    pub name: Field<Name>,
    /// A telephone number; `null` clears it.
    #[serde(default)]
    pub phone: Clearable<Phone>,
    /// An e-mail address; `null` clears it.
    #[serde(default)]
    pub email: Clearable<Email>,
    /// Whether this is the customer's primary contact; `true` demotes the former one.
    #[serde(default)]
    pub is_primary: Field<bool>,
}

/// A person at a customer.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// The contact's id.
    pub contact_id: Id,
    /// The tenant that the contact belongs to.
    pub tenant_id: Tenant,
    /// The customer that the contact belongs to.
    pub customer_id: Id,
    /// The person's name.
    pub name: Name,
    /// A telephone number, masked without the scope `crm:pii:read`.
    pub phone: Nullable<Shown<PhoneRule>>,
    /// An e-mail address, masked without the scope `crm:pii:read`.
    pub email: Nullable<Shown<EmailRule>>,
    /// Whether this is the customer's primary contact; a customer has at most one.
    pub is_primary: bool,
    /// When the contact was created.
    pub created_at: Timestamp,
    /// When the contact was last changed.
    pub updated_at: Timestamp,
}

impl Contact {
    /// The contact as a caller with this sight sees it.
    #[must_use]
    pub(super) fn shown(row: Model, sight: Sight) -> Self {
        let Model { tenant_id, contact_id, customer_id, name, phone, email, is_primary, created_at, updated_at } = row;
        Self {
            contact_id: Id(contact_id),
            tenant_id: Tenant::stored(tenant_id),
            customer_id: Id(customer_id),
            name: Name::stored(name),
            phone: Shown::to(sight, phone),
            email: Shown::to(sight, email),
            is_primary,
            created_at: Timestamp(created_at),
            updated_at: Timestamp(updated_at),
        }
    }
}
