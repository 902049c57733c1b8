//! The row of `contacts`.

use sea_orm::entity::prelude::*;

use super::Contact;
use crate::{
    audit::{Audited, Fact},
    database::tenancy::{Listed, Resource, Tenanted},
    events::Evented,
    kind::{CONTACTS, Kind},
    pii::{BlindIndex, EmailRule, PhoneRule, PiiColumn, PiiTable, Sealed},
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "contacts")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub contact_id: Uuid,
    pub customer_id: Uuid,
    pub name: String,
    pub phone: Option<Sealed>,
    pub phone_index: Option<BlindIndex>,
    pub email: Option<Sealed>,
    pub email_index: Option<BlindIndex>,
    pub is_primary: bool,
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
    const ID: Column = Column::ContactId;
    const CREATED: Column = Column::CreatedAt;
}

impl Resource for Entity {
    fn id(row: &Model) -> Uuid {
        row.contact_id
    }

    fn updated_at(row: &mut Model) -> &mut DateTimeUtc {
        &mut row.updated_at
    }

    fn version(row: &mut Model) -> &mut i64 {
        &mut row.version
    }
}

impl Audited for Entity {
    const KIND: Kind = CONTACTS;

    fn facts(row: &Model) -> Vec<Fact<'_>> {
        let Model {
            tenant_id: _,
            contact_id: _,
            customer_id,
            name,
            phone,
            phone_index: _,
            email,
            email_index: _,
            is_primary,
            created_at: _,
            updated_at: _,
            version: _,
        } = row;
        vec![
            Fact::Plain("customerId", Some(customer_id.to_string())),
            Fact::Personal("name", Some(name)),
            Fact::Sealed("phone", phone.as_ref()),
            Fact::Sealed("email", email.as_ref()),
            Fact::Plain("isPrimary", Some(is_primary.to_string())),
        ]
    }
}

impl Evented for Entity {
    type Shown = Contact;
}

/// Where the phone number lies.
pub const PHONE: PiiColumn<PhoneRule> = PiiColumn::new("contacts", "phone", "phone_index");
/// Where the e-mail address lies.
pub const EMAIL: PiiColumn<EmailRule> = PiiColumn::new("contacts", "email", "email_index");
/// The table's personal data.
pub const PII: PiiTable = PiiTable { name: "contacts", id: "contact_id", columns: &[PHONE.column, EMAIL.column] };
