//! The `idempotent` table: the keys of accepted requests, each with the resource that the request created or changed. The
//! column is called `request_id` because that is what a key is, unless the client sends one of its own.

use sea_orm::entity::prelude::*;

use crate::database::tenancy::Tenanted;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotent")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub request_id: String,
    pub resource_type: String,
    pub resource_id: Uuid,
    /// When the time begins for which it is kept.
    pub created_at: DateTimeUtc,
    /// What was done; none where the release before recorded it.
    pub action: Option<String>,
    /// When it was done; likewise.
    pub committed_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const TENANT: Column = Column::TenantId;
}
