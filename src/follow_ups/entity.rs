//! The row of `follow_ups`.

use sea_orm::entity::prelude::*;

use crate::database::tenancy::{Resource, Tenanted};

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
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const TENANT: Column = Column::TenantId;
}

impl Resource for Entity {
    const ID: Column = Column::FollowUpId;
    const CREATED: Column = Column::CreatedAt;
}
