//! The row of `customers`.

use sea_orm::entity::prelude::*;

use super::{Customer, CustomerStatus};
use crate::{
    audit::{Audited, Fact},
    database::tenancy::{Listed, Resource, Tenanted},
    events::Evented,
    kind::{CUSTOMERS, Kind},
    pii::{BlindIndex, EmailRule, PhoneRule, PiiColumn, PiiTable, Sealed},
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "customers")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: Uuid,
    pub name: String,
    pub contact_phone: Option<Sealed>,
    pub contact_phone_index: Option<BlindIndex>,
    pub contact_email: Option<Sealed>,
    pub contact_email_index: Option<BlindIndex>,
    pub status: CustomerStatus,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const TENANT: Column = Column::TenantId;
}

impl Listed for Entity {
    const ID: Column = Column::CustomerId;
    const CREATED: Column = Column::CreatedAt;
}

impl Resource for Entity {
    fn id(row: &Model) -> Uuid {
        row.customer_id
    }

    fn updated_at(row: &mut Model) -> &mut DateTimeUtc {
        &mut row.updated_at
    }

    fn version(row: &mut Model) -> &mut i64 {
        &mut row.version
    }
}

impl Audited for Entity {
    const KIND: Kind = CUSTOMERS;

    fn facts(row: &Model) -> Vec<Fact<'_>> {
        let Model {
            tenant_id: _,
            customer_id: _,
            name,
            contact_phone,
            contact_phone_index: _,
            contact_email,
            contact_email_index: _,
            status,
            created_at: _,
            updated_at: _,
            version: _,
        } = row;
        vec![
            Fact::Personal("name", Some(name)),
            Fact::Sealed("contactPhone", contact_phone.as_ref()),
            Fact::Sealed("contactEmail", contact_email.as_ref()),
            Fact::Plain("status", Some(format!("{status:?}"))),
        ]
    }
}

impl Evented for Entity {
    type Shown = Customer;
}

/// Where the phone number lies.
pub const CONTACT_PHONE: PiiColumn<PhoneRule> = PiiColumn::new("customers", "contact_phone", "contact_phone_index");
/// Where the e-mail address lies.
pub const CONTACT_EMAIL: PiiColumn<EmailRule> = PiiColumn::new("customers", "contact_email", "contact_email_index");
/// The table's personal data.
pub const PII: PiiTable =
    PiiTable { name: "customers", id: "customer_id", columns: &[CONTACT_PHONE.column, CONTACT_EMAIL.column] };
