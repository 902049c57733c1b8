//! The `opportunities` table.

use sea_orm::entity::prelude::*;

use super::stage::{OpportunityStage, OpportunityStatus};
use crate::{
    customers,
    database::tenancy::SortKey,
    http::tag::Tag,
    resource::{AuditField, Kind, OfCustomer, OnDelete, Reference, Resource},
};

/// The resource type.
pub const OPPORTUNITIES: Kind = Kind {
    name: "opportunity",
    collection: "opportunities",
    tag: Tag { name: "Opportunities", description: "Possible sales to a customer, by stage and amount." },
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "opportunities")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub opportunity_id: Uuid,
    pub customer_id: Uuid,
    pub title: String,
    pub amount_cents: i64,
    pub currency: String,
    pub stage: OpportunityStage,
    pub status: OpportunityStatus,
    pub last_open_stage: OpportunityStage,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub version: i64,
    pub deleted_at: Option<DateTimeUtc>,
    #[sea_orm(column_type = "Text")]
    pub title_sort: String,
    /// Since when it is in its stage. Triggers keep it; none until its history is filled in.
    pub stage_entered_at: Option<DateTimeUtc>,
    /// Since when nothing has happened to it, neither a move nor a follow-up; none unless it is open. Triggers keep it.
    pub idle_since: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Resource for Entity {
    const KIND: Kind = OPPORTUNITIES;

    const TENANT: Column = Column::TenantId;
    const ID: Column = Column::OpportunityId;
    const CREATED: Column = Column::CreatedAt;
    const FILTERED: &'static [Column] = &[
        Column::CreatedAt,
        Column::UpdatedAt,
        Column::CustomerId,
        Column::Stage,
        Column::Status,
        Column::Currency,
        Column::AmountCents,
        Column::DeletedAt,
    ];
    const SORTS: &'static [SortKey<Column>] = &[
        SortKey::new("createdAt", Column::CreatedAt),
        SortKey::new("updatedAt", Column::UpdatedAt),
        SortKey::new("title", Column::TitleSort),
        SortKey::new("amountCents", Column::AmountCents),
        SortKey { name: "stage", column: Column::Stage, values: &[0, 1, 2, 3, 4, 5, 6] },
    ];
    const REFERENCES: &'static [Reference<Self>] =
        &[Reference::to::<customers::Entity>(Column::CustomerId, OnDelete::Delete)];
    const DELETED_AT: Option<Column> = Some(Column::DeletedAt);

    const OWNER: Column = Column::CustomerId;
    const TEXT: Column = Column::Title;
    const TEXT_SORT: Option<Column> = Some(Column::TitleSort);

    fn text(row: &Model) -> &str {
        &row.title
    }

    fn id(row: &Model) -> Uuid {
        row.opportunity_id
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
            opportunity_id: _,
            customer_id,
            title,
            amount_cents,
            currency,
            stage,
            status,
            last_open_stage: _,
            created_at: _,
            updated_at: _,
            version: _,
            deleted_at: _,
            title_sort: _,
            stage_entered_at: _,
            idle_since: _,
        } = row;
        vec![
            AuditField::Plain("customerId", Some(customer_id.to_string())),
            AuditField::Personal("title", Some(title)),
            AuditField::Plain("amountCents", Some(amount_cents.to_string())),
            AuditField::Plain("currency", Some(currency.clone())),
            AuditField::Plain("stage", Some(format!("{stage:?}"))),
            AuditField::Plain("status", Some(format!("{status:?}"))),
        ]
    }
}

impl OfCustomer for Entity {}
