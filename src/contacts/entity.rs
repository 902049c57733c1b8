//! The row of `contacts`.

use sea_orm::entity::prelude::*;

use crate::{
    database::tenancy::{Resource, Tenanted},
    pii::Stored,
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
    pub phone: Option<Stored>,
    pub email: Option<Stored>,
    pub is_primary: bool,
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
    const ID: Column = Column::ContactId;
    const CREATED: Column = Column::CreatedAt;
}
