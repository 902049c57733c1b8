//! Contract types of customers.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::{
    entity::{CONTACT_EMAIL, CONTACT_PHONE, Entity, Model},
    status::CustomerStatus,
};
use crate::{
    error::Result,
    pii::{DisplayedPii, Email, EmailRule, Phone, PhoneRule, PiiLocation, PiiView},
    resource::{Action, Projection, Published},
    values::{
        Clearable, Field, Id, Name, Nullable, Tenant, Timestamp,
        integer_enum::{ValueNames, names},
    },
};

/// A new customer.
#[derive(Debug, Clone, Object, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomerCreate {
    /// The name of the organisation or person.
    pub name: Name,
    /// A phone number; masked in responses without the scope `crm:pii:read`.
    #[serde(default)]
    pub contact_phone: Clearable<Phone>,
    /// An e-mail address; masked in responses without the scope `crm:pii:read`.
    #[serde(default)]
    pub contact_email: Clearable<Email>,
}

/// Changes to a customer; absent fields stay unchanged.
#[derive(Debug, Clone, Object, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomerUpdate {
    /// The name of the organisation or person.
    #[serde(default)]
    pub name: Field<Name>,
    /// A phone number; `null` clears it.
    #[serde(default)]
    pub contact_phone: Clearable<Phone>,
    /// An e-mail address; `null` clears it.
    #[serde(default)]
    pub contact_email: Clearable<Email>,
}

/// A customer.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Customer {
    /// The customer's id.
    pub customer_id: Id,
    /// The tenant that the customer belongs to.
    pub tenant_id: Tenant,
    /// The name of the organisation or person.
    pub name: Name,
    /// A phone number, masked without the scope `crm:pii:read`.
    pub contact_phone: Nullable<DisplayedPii<PhoneRule>>,
    /// An e-mail address, masked without the scope `crm:pii:read`.
    pub contact_email: Nullable<DisplayedPii<EmailRule>>,
    /// Whether the customer has signed a contract.
    pub status: CustomerStatus,
    /// When the customer was created.
    pub created_at: Timestamp,
    /// When the customer was last changed.
    pub updated_at: Timestamp,
}

impl Projection for Customer {
    type Entity = Entity;

    fn integer_enums() -> Vec<ValueNames> {
        vec![names::<CustomerStatus>()]
    }

    fn project(row: Model, view: &PiiView<'_>) -> Result<Self> {
        let Model {
            tenant_id,
            customer_id,
            name,
            contact_phone,
            contact_phone_index: _,
            contact_phone_indexed: _,
            contact_phone_base_index: _,
            contact_email,
            contact_email_index: _,
            contact_email_indexed: _,
            status,
            created_at,
            updated_at,
            version: _,
            deleted_at: _,
            name_sort: _,
        } = row;
        let location = PiiLocation { tenant: &tenant_id, id: customer_id };
        Ok(Self {
            contact_phone: view.display(&CONTACT_PHONE, location, contact_phone.as_ref())?,
            contact_email: view.display(&CONTACT_EMAIL, location, contact_email.as_ref())?,
            customer_id: Id(customer_id),
            tenant_id: Tenant::stored(tenant_id),
            name: Name::stored(name),
            status,
            created_at: Timestamp(created_at),
            updated_at: Timestamp(updated_at),
        })
    }
}

impl Published for Entity {
    type Projection = Customer;

    const ACTIONS: &'static [Action] = &[Action::Created, Action::Updated, Action::Erased, Action::Deleted];
}
