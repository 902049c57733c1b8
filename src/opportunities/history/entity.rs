//! The `opportunity_stages` table. Triggers keep it, but for who made a move.

use sea_orm::entity::prelude::*;

use crate::{database::tenancy::Tenanted, opportunities::stage::OpportunityStage};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "opportunity_stages")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub opportunity_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub entered_at: DateTimeUtc,
    pub stage: OpportunityStage,
    pub left_at: Option<DateTimeUtc>,
    pub next_stage: Option<OpportunityStage>,
    /// Who moved it there, if that is known.
    #[sea_orm(column_type = "Text", nullable)]
    pub actor: Option<String>,
    /// Whether it is still to be looked up who did.
    pub needs_actor: bool,
    /// Whether it is not known when it came there: what is stored is the earliest or the latest time at which it may have.
    pub is_estimated: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const TENANT: Column = Column::TenantId;
}
