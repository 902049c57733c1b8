//! The `customers` table.

use sea_orm::{Condition, entity::prelude::*};

use super::status::CustomerStatus;
use crate::{
    http::tag::Tag,
    pii::{BlindIndex, EmailRule, PhoneRule, PiiColumn, PiiTable, Sealed},
    resource::{Action, AuditField, ERASED, Erasable, Kind, PersonalField, Resource},
};

/// The resource type.
pub const CUSTOMERS: Kind = Kind {
    name: "customer",
    collection: "customers",
    tag: Tag { name: "Customers", description: "The organisations and people the company sells to." },
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
    pub deleted_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Resource for Entity {
    const KIND: Kind = CUSTOMERS;

    const TENANT: Column = Column::TenantId;
    const ID: Column = Column::CustomerId;
    const CREATED: Column = Column::CreatedAt;
    const DELETED_AT: Option<Column> = Some(Column::DeletedAt);
    const PII: Option<PiiTable> = Some(PERSONAL_DATA);

    fn id(row: &Model) -> Uuid {
        row.customer_id
    }

    fn updated_at(row: &mut Model) -> &mut DateTimeUtc {
        &mut row.updated_at
    }

    fn version(row: &mut Model) -> &mut i64 {
        &mut row.version
    }

    fn audit_fields(row: &Model) -> Vec<AuditField<'_>> {
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
            deleted_at: _,
        } = row;
        vec![
            AuditField::Personal("name", Some(name)),
            AuditField::Sealed("contactPhone", contact_phone.as_ref()),
            AuditField::Sealed("contactEmail", contact_email.as_ref()),
            AuditField::Plain("status", Some(format!("{status:?}"))),
        ]
    }
}

impl Erasable for Entity {
    const ERASURE: Action = Action::Erased;
    const PERSONAL: &'static [PersonalField] = &[
        PersonalField::Text("name"),
        PersonalField::Optional("contactPhone"),
        PersonalField::Optional("contactEmail"),
    ];

    fn unerased() -> Condition {
        let sealed = [Column::ContactPhone, Column::ContactPhoneIndex, Column::ContactEmail, Column::ContactEmailIndex];
        sealed.iter().fold(Condition::any().add(Column::Name.ne(ERASED)), |any, column| any.add(column.is_not_null()))
    }

    fn erase(row: &mut Model) {
        ERASED.clone_into(&mut row.name);
        (row.contact_phone, row.contact_phone_index) = (None, None);
        (row.contact_email, row.contact_email_index) = (None, None);
    }
}

/// The columns of the phone number.
pub const CONTACT_PHONE: PiiColumn<PhoneRule> = PiiColumn::new("customers", "contact_phone", "contact_phone_index");
/// The columns of the e-mail address.
pub const CONTACT_EMAIL: PiiColumn<EmailRule> = PiiColumn::new("customers", "contact_email", "contact_email_index");
const PERSONAL_DATA: PiiTable =
    PiiTable { name: "customers", id: "customer_id", columns: &[CONTACT_PHONE.field, CONTACT_EMAIL.field] };
