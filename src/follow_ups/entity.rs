//! The `follow_ups` table.

use sea_orm::{Condition, entity::prelude::*};

use crate::{
    contacts, customers,
    database::tenancy::SortKey,
    http::tag::Tag,
    opportunities,
    resource::{AuditField, ERASED, Erasable, Kind, OfCustomer, OnDelete, PersonalField, Reference, Resource},
};

/// The resource type.
pub const FOLLOW_UPS: Kind = Kind {
    name: "followUp",
    collection: "follow-ups",
    tag: Tag {
        name: "Follow-ups",
        description: "What was said or done, about a customer, an opportunity, a contact, or none of them.",
    },
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "follow_ups")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub follow_up_id: Uuid,
    pub customer_id: Option<Uuid>,
    pub opportunity_id: Option<Uuid>,
    pub contact_id: Option<Uuid>,
    #[sea_orm(column_type = "Text")]
    pub content: String,
    pub follow_up_type: String,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Resource for Entity {
    const KIND: Kind = FOLLOW_UPS;

    const TENANT: Column = Column::TenantId;
    const ID: Column = Column::FollowUpId;
    const CREATED: Column = Column::CreatedAt;
    const FILTERED: &'static [Column] =
        &[Column::CreatedAt, Column::UpdatedAt, Column::CustomerId, Column::OpportunityId, Column::FollowUpType];
    const SORTS: &'static [SortKey<Column>] =
        &[SortKey::new("createdAt", Column::CreatedAt), SortKey::new("updatedAt", Column::UpdatedAt)];
    const REFERENCES: &'static [Reference<Self>] = &[
        Reference::to::<customers::Entity>(Column::CustomerId, OnDelete::Delete),
        Reference::to::<opportunities::Entity>(Column::OpportunityId, OnDelete::Clear),
        Reference::to::<contacts::Entity>(Column::ContactId, OnDelete::Clear),
    ];

    const OWNER: Column = Column::CustomerId;
    const TEXT: Column = Column::Content;

    fn text(row: &Model) -> &str {
        &row.content
    }

    fn id(row: &Model) -> Uuid {
        row.follow_up_id
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
            follow_up_id: _,
            customer_id,
            opportunity_id,
            contact_id,
            content,
            follow_up_type,
            created_at: _,
            updated_at: _,
            version: _,
        } = row;
        let id = |id: &Option<Uuid>| id.map(|id| id.to_string());
        vec![
            AuditField::Plain("customerId", id(customer_id)),
            AuditField::Plain("opportunityId", id(opportunity_id)),
            AuditField::Plain("contactId", id(contact_id)),
            AuditField::Personal("content", Some(content)),
            AuditField::Personal("followUpType", Some(follow_up_type)),
        ]
    }
}

impl OfCustomer for Entity {}

impl Erasable for Entity {
    /// The type is in the tenant's own words, like the content.
    const PERSONAL: &'static [PersonalField] = &[PersonalField::Text("content"), PersonalField::Text("followUpType")];

    fn unerased() -> Condition {
        Condition::any().add(Column::Content.ne(ERASED)).add(Column::FollowUpType.ne(ERASED))
    }

    fn erase(row: &mut Model) {
        ERASED.clone_into(&mut row.content);
        ERASED.clone_into(&mut row.follow_up_type);
    }
}
