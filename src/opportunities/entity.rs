//! The row of `opportunities`.

use sea_orm::entity::prelude::*;

use super::{OpportunityStage, OpportunityStatus};
use crate::database::tenancy::{Resource, Tenanted};

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
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const TENANT: Column = Column::TenantId;
}

impl Resource for Entity {
    const ID: Column = Column::OpportunityId;
    const CREATED: Column = Column::CreatedAt;
}
