//! The row of `customers`.

use sea_orm::entity::prelude::*;

use super::CustomerStatus;
use crate::{
    database::tenancy::{Resource, Tenanted},
    pii::Stored,
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "customers")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: Uuid,
    pub name: String,
    pub contact_phone: Option<Stored>,
    pub contact_email: Option<Stored>,
    pub status: CustomerStatus,
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
    const ID: Column = Column::CustomerId;
    const CREATED: Column = Column::CreatedAt;
}
