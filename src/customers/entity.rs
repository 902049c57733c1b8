//! The `customers` table.

use sea_orm::{Condition, entity::prelude::*};

use super::status::CustomerStatus;
use crate::{
    database::tenancy::SortKey,
    http::tag::Tag,
    pii::{BlindIndex, EmailRule, PhoneRule, PiiColumn, PiiSlot, PiiTable, Sealed, SealedColumns},
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
    pub contact_phone_indexed: Option<BlindIndex>,
    pub contact_phone_base_index: Option<BlindIndex>,
    pub contact_email: Option<Sealed>,
    pub contact_email_index: Option<BlindIndex>,
    pub contact_email_indexed: Option<BlindIndex>,
    pub status: CustomerStatus,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub version: i64,
    pub deleted_at: Option<DateTimeUtc>,
    #[sea_orm(column_type = "Text")]
    pub name_sort: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Where the row holds its phone number.
    pub fn contact_phone_slot(&mut self) -> PiiSlot<'_> {
        PiiSlot {
            sealed: &mut self.contact_phone,
            index: &mut self.contact_phone_index,
            indexed: &mut self.contact_phone_indexed,
            base: Some(&mut self.contact_phone_base_index),
        }
    }

    /// Where the row holds its e-mail address.
    pub fn contact_email_slot(&mut self) -> PiiSlot<'_> {
        PiiSlot {
            sealed: &mut self.contact_email,
            index: &mut self.contact_email_index,
            indexed: &mut self.contact_email_indexed,
            base: None,
        }
    }
}

impl Resource for Entity {
    const KIND: Kind = CUSTOMERS;

    const TENANT: Column = Column::TenantId;
    const ID: Column = Column::CustomerId;
    const CREATED: Column = Column::CreatedAt;
    const FILTERED: &'static [Column] = &[
        Column::CreatedAt,
        Column::UpdatedAt,
        Column::Status,
        Column::ContactPhoneIndex,
        Column::ContactPhoneIndexed,
        Column::ContactPhoneBaseIndex,
        Column::ContactEmailIndex,
    ];
    const SORTS: &'static [SortKey<Column>] = &[
        SortKey::new("createdAt", Column::CreatedAt),
        SortKey::new("updatedAt", Column::UpdatedAt),
        SortKey::new("name", Column::NameSort),
        SortKey { name: "status", column: Column::Status, values: &[0, 1] },
    ];
    const DELETED_AT: Option<Column> = Some(Column::DeletedAt);
    const PII: Option<PiiTable> = Some(PERSONAL_DATA);

    const OWNER: Column = Column::CustomerId;
    const TEXT: Column = Column::Name;
    const TEXT_SORT: Option<Column> = Some(Column::NameSort);

    fn text(row: &Model) -> &str {
        &row.name
    }

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
            contact_phone_indexed: _,
            contact_phone_base_index: _,
            contact_email,
            contact_email_index: _,
            contact_email_indexed: _,
            status,
            created_at: _,
            updated_at: _,
            version: _,
            deleted_at: _,
            name_sort: _,
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
        let sealed = [
            Column::ContactPhone,
            Column::ContactPhoneIndex,
            Column::ContactPhoneIndexed,
            Column::ContactPhoneBaseIndex,
            Column::ContactEmail,
            Column::ContactEmailIndex,
            Column::ContactEmailIndexed,
        ];
        sealed.iter().fold(Condition::any().add(Column::Name.ne(ERASED)), |any, column| any.add(column.is_not_null()))
    }

    fn erase(row: &mut Model) {
        ERASED.clone_into(&mut row.name);
        row.contact_phone_slot().clear();
        row.contact_email_slot().clear();
    }
}

/// The columns of the phone number.
pub const CONTACT_PHONE: PiiColumn<PhoneRule> =
    PiiColumn::new(ROW, "contact_phone", ("contact_phone_index", "contact_phone_indexed"))
        .with_base("contact_phone_base_index");
/// The columns of the e-mail address.
pub const CONTACT_EMAIL: PiiColumn<EmailRule> =
    PiiColumn::new(ROW, "contact_email", ("contact_email_index", "contact_email_indexed"));
/// Both.
pub const SEALED: SealedColumns =
    SealedColumns { phone: ("contactPhone", &CONTACT_PHONE), email: ("contactEmail", &CONTACT_EMAIL) };
/// The table, and the column with the row's id.
const ROW: (&str, &str) = ("customers", "customer_id");
const PERSONAL_DATA: PiiTable =
    PiiTable { name: ROW.0, id: ROW.1, columns: &[CONTACT_PHONE.field, CONTACT_EMAIL.field] };
