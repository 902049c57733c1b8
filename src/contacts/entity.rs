//! The `contacts` table.

use sea_orm::{Condition, entity::prelude::*};

use crate::{
    customers,
    database::tenancy::SortKey,
    http::tag::Tag,
    pii::{BlindIndex, EmailRule, PhoneRule, PiiColumn, PiiSlot, PiiTable, Sealed, SealedColumns},
    resource::{AuditField, ERASED, Erasable, Kind, OfCustomer, OnDelete, PersonalField, Reference, Resource},
};

/// The resource type.
pub const CONTACTS: Kind = Kind {
    name: "contact",
    collection: "contacts",
    tag: Tag { name: "Contacts", description: "The people at a customer." },
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
    pub phone_indexed: Option<BlindIndex>,
    pub phone_base_index: Option<BlindIndex>,
    pub email: Option<Sealed>,
    pub email_index: Option<BlindIndex>,
    pub email_indexed: Option<BlindIndex>,
    pub is_primary: bool,
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
    pub fn phone_slot(&mut self) -> PiiSlot<'_> {
        PiiSlot {
            sealed: &mut self.phone,
            index: &mut self.phone_index,
            indexed: &mut self.phone_indexed,
            base: Some(&mut self.phone_base_index),
        }
    }

    /// Where the row holds its e-mail address.
    pub fn email_slot(&mut self) -> PiiSlot<'_> {
        PiiSlot { sealed: &mut self.email, index: &mut self.email_index, indexed: &mut self.email_indexed, base: None }
    }
}

impl Resource for Entity {
    const KIND: Kind = CONTACTS;

    const TENANT: Column = Column::TenantId;
    const ID: Column = Column::ContactId;
    const CREATED: Column = Column::CreatedAt;
    const FILTERED: &'static [Column] = &[
        Column::CreatedAt,
        Column::UpdatedAt,
        Column::CustomerId,
        Column::IsPrimary,
        Column::PhoneIndex,
        Column::PhoneIndexed,
        Column::PhoneBaseIndex,
        Column::EmailIndex,
    ];
    const SORTS: &'static [SortKey<Column>] = &[
        SortKey::new("createdAt", Column::CreatedAt),
        SortKey::new("updatedAt", Column::UpdatedAt),
        SortKey::new("name", Column::NameSort),
    ];
    const REFERENCES: &'static [Reference<Self>] =
        &[Reference::to::<customers::Entity>(Column::CustomerId, OnDelete::Delete)];
    const DELETED_AT: Option<Column> = Some(Column::DeletedAt);
    const PII: Option<PiiTable> = Some(PERSONAL_DATA);

    const OWNER: Column = Column::CustomerId;
    const TEXT: Column = Column::Name;
    const TEXT_SORT: Option<Column> = Some(Column::NameSort);

    fn text(row: &Model) -> &str {
        &row.name
    }

    fn id(row: &Model) -> Uuid {
        row.contact_id
    }

    fn updated_at(row: &mut Model) -> &mut DateTimeUtc {
        &mut row.updated_at
    }

    fn version(row: &mut Model) -> &mut i64 {
        &mut row.version
    }

    fn vacate(row: &mut Model) {
        row.is_primary = false;
    }

    fn audit_fields(row: &Model) -> Vec<AuditField<'_>> {
        let Model {
            tenant_id: _,
            contact_id: _,
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
            created_at: _,
            updated_at: _,
            version: _,
            deleted_at: _,
            name_sort: _,
        } = row;
        vec![
            AuditField::Plain("customerId", Some(customer_id.to_string())),
            AuditField::Personal("name", Some(name)),
            AuditField::Sealed("phone", phone.as_ref()),
            AuditField::Sealed("email", email.as_ref()),
            AuditField::Plain("isPrimary", Some(is_primary.to_string())),
        ]
    }
}

impl OfCustomer for Entity {}

impl Erasable for Entity {
    const PERSONAL: &'static [PersonalField] =
        &[PersonalField::Text("name"), PersonalField::Optional("phone"), PersonalField::Optional("email")];

    fn unerased() -> Condition {
        let sealed = [
            Column::Phone,
            Column::PhoneIndex,
            Column::PhoneIndexed,
            Column::PhoneBaseIndex,
            Column::Email,
            Column::EmailIndex,
            Column::EmailIndexed,
        ];
        sealed.iter().fold(Condition::any().add(Column::Name.ne(ERASED)), |any, column| any.add(column.is_not_null()))
    }

    fn erase(row: &mut Model) {
        ERASED.clone_into(&mut row.name);
        row.phone_slot().clear();
        row.email_slot().clear();
    }
}

/// The columns of the phone number.
pub const PHONE: PiiColumn<PhoneRule> =
    PiiColumn::new(ROW, "phone", ("phone_index", "phone_indexed")).with_base("phone_base_index");
/// The columns of the e-mail address.
pub const EMAIL: PiiColumn<EmailRule> = PiiColumn::new(ROW, "email", ("email_index", "email_indexed"));
/// Both.
pub const SEALED: SealedColumns = SealedColumns { phone: ("phone", &PHONE), email: ("email", &EMAIL) };
/// The table, and the column with the row's id.
const ROW: (&str, &str) = ("contacts", "contact_id");
const PERSONAL_DATA: PiiTable = PiiTable { name: ROW.0, id: ROW.1, columns: &[PHONE.field, EMAIL.field] };
