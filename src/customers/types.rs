//! Customers in the contract.

use poem_openapi::Object;
use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};

use super::entity::{CONTACT_EMAIL, CONTACT_PHONE, Entity, Model};
use crate::{
    error::Result,
    http::show::Show,
    pii::{Email, EmailRule, Lens, Phone, PhoneRule, Shown, vault::Row},
    values::{
        Clearable, Field, Id, Name, Nullable, Tenant, Timestamp,
        code::{Code, coded},
    },
};

/// A new customer.
#[derive(Debug, Clone, Object, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomerCreate {
    /// The name of the organisation or person.
    pub name: Name,
    /// A telephone number; masked in replies without the scope `crm:pii:read`.
    #[serde(default)]
    pub contact_phone: Clearable<Phone>,
    /// An e-mail address; masked in replies without the scope `crm:pii:read`.
    #[serde(default)]
    pub contact_email: Clearable<Email>,
}

/// Changes to a customer: an absent field stays as it is.
#[derive(Debug, Clone, Object, Deserialize)]
#[oai(rename_all = "camelCase", deny_unknown_fields)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomerUpdate {
    /// The name of the organisation or person.
    #[serde(default)]
    pub name: Field<Name>,
    /// A telephone number; `null` clears it.
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
    /// A telephone number, masked without the scope `crm:pii:read`.
    pub contact_phone: Nullable<Shown<PhoneRule>>,
    /// An e-mail address, masked without the scope `crm:pii:read`.
    pub contact_email: Nullable<Shown<EmailRule>>,
    /// Whether a contract is signed.
    pub status: CustomerStatus,
    /// When the customer was created.
    pub created_at: Timestamp,
    /// When the customer was last changed.
    pub updated_at: Timestamp,
}

/// Whether a contract is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i32", db_type = "Integer")]
pub enum CustomerStatus {
    /// No contract yet.
    #[sea_orm(num_value = 0)]
    Prospect,
    /// A contract is signed.
    #[sea_orm(num_value = 1)]
    Signed,
}

impl Code for CustomerStatus {
    const NAME: &'static str = "CustomerStatus";
    const DESCRIPTION: &'static str =
        "0 prospect, 1 signed. A new customer is a prospect; a signed contract, not this API, makes it signed.";
    const ALL: &'static [Self] = &[Self::Prospect, Self::Signed];

    fn code(self) -> i32 {
        match self {
            Self::Prospect => 0,
            Self::Signed => 1,
        }
    }
}

coded!(CustomerStatus);

impl Show for Customer {
    type Entity = Entity;

    fn shown(row: Model, lens: &Lens<'_>) -> Result<Self> {
        let Model {
            tenant_id,
            customer_id,
            name,
            contact_phone,
            contact_phone_index: _,
            contact_email,
            contact_email_index: _,
            status,
            created_at,
            updated_at,
            version: _,
        } = row;
        let place = Row { tenant: &tenant_id, id: customer_id };
        Ok(Self {
            contact_phone: lens.show(&CONTACT_PHONE, place, contact_phone.as_ref())?,
            contact_email: lens.show(&CONTACT_EMAIL, place, contact_email.as_ref())?,
            customer_id: Id(customer_id),
            tenant_id: Tenant::stored(tenant_id),
            name: Name::stored(name),
            status,
            created_at: Timestamp(created_at),
            updated_at: Timestamp(updated_at),
        })
    }
}
