//! Contract types of contacts.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::entity::{EMAIL, Entity, Model, PHONE};
use crate::{
    error::Result,
    pii::{DisplayedPii, Email, EmailRule, Phone, PhoneRule, PiiLocation, PiiView},
    resource::{Projection, Published},
    values::{
        Clearable, Field, Id, Nullable, Tenant, Text, TextRule, Timestamp,
        text::{NameRule, Verdict},
    },
};

/// A new contact.
#[derive(Debug, Clone, Object, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContactCreate {
    /// The customer that the contact belongs to; it must exist and cannot be changed later.
    pub customer_id: Id,
    /// The person's name.
    pub name: PersonName,
    /// A phone number; masked in responses without the scope `crm:pii:read`.
    #[serde(default)]
    pub phone: Clearable<Phone>,
    /// An e-mail address; masked in responses without the scope `crm:pii:read`.
    #[serde(default)]
    pub email: Clearable<Email>,
    /// Whether this is the customer's primary contact; `true` demotes the previous one. Default: `false`.
    #[serde(default)]
    pub is_primary: Field<bool>,
}

/// Changes to a contact; absent fields stay unchanged.
#[derive(Debug, Clone, Object, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContactUpdate {
    /// The person's name.
    #[serde(default)]
    pub name: Field<PersonName>,
    /// A phone number; `null` clears it.
    #[serde(default)]
    pub phone: Clearable<Phone>,
    /// An e-mail address; `null` clears it.
    #[serde(default)]
    pub email: Clearable<Email>,
    /// Whether this is the customer's primary contact; `true` demotes the previous one.
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
    pub name: PersonName,
    /// A phone number, masked without the scope `crm:pii:read`.
    pub phone: Nullable<DisplayedPii<PhoneRule>>,
    /// An e-mail address, masked without the scope `crm:pii:read`.
    pub email: Nullable<DisplayedPii<EmailRule>>,
    /// Whether this is the customer's primary contact; a customer has at most one.
    pub is_primary: bool,
    /// When the contact was created.
    pub created_at: Timestamp,
    /// When the contact was last changed.
    pub updated_at: Timestamp,
}

impl Projection for Contact {
    type Entity = Entity;

    fn project(row: Model, view: &PiiView<'_>) -> Result<Self> {
        let Model {
            tenant_id,
            contact_id,
            customer_id,
            name,
            phone,
            phone_index: _,
            phone_indexed: _,
            phone_base_index: _,
            email,
            email_index: _,
            email_indexed: _,
            is_primary,
            created_at,
            updated_at,
            version: _,
            deleted_at: _,
            name_sort: _,
        } = row;
        let location = PiiLocation { tenant: &tenant_id, id: contact_id };
        Ok(Self {
            phone: view.display(&PHONE, location, phone.as_ref())?,
            email: view.display(&EMAIL, location, email.as_ref())?,
            contact_id: Id(contact_id),
            tenant_id: Tenant::stored(tenant_id),
            customer_id: Id(customer_id),
            name: PersonName::stored(name),
            is_primary,
            created_at: Timestamp(created_at),
            updated_at: Timestamp(updated_at),
        })
    }
}

impl Published for Entity {
    type Projection = Contact;
}

/// The rule for [`PersonName`]: that of all names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonNameRule;

impl TextRule for PersonNameRule {
    const NAME: &'static str = "PersonName";
    const MIN: usize = NameRule::MIN;
    const MAX: usize = NameRule::MAX;
    const PATTERN: &'static str = NameRule::PATTERN;
    const EXPECTED: &'static str = NameRule::EXPECTED;
    const EXAMPLE: &'static str = "Li Lei";

    fn check(text: &str) -> Verdict {
        NameRule::check(text)
    }
}

/// The name of a person.
pub type PersonName = Text<PersonNameRule>;
