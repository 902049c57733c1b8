//! The row of `follow_ups`.

use sea_orm::entity::prelude::*;

use super::FollowUp;
use crate::{
    audit::{Audited, Fact},
    database::tenancy::{Listed, Resource, Tenanted},
    events::Evented,
    kind::{FOLLOW_UPS, Kind},
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

impl Tenanted for Entity {
    const TENANT: Column = Column::TenantId;
}

impl Listed for Entity {
    const ID: Column = Column::FollowUpId;
    const CREATED: Column = Column::CreatedAt;
}

impl Resource for Entity {
    fn id(row: &Model) -> Uuid {
        row.follow_up_id
    }

    fn updated_at(row: &mut Model) -> &mut DateTimeUtc {
        &mut row.updated_at
    }

    fn version(row: &mut Model) -> &mut i64 {
        &mut row.version
    }
}

impl Audited for Entity {
    const KIND: Kind = FOLLOW_UPS;

    fn facts(row: &Model) -> Vec<Fact<'_>> {
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
            Fact::Plain("customerId", id(customer_id)),
            Fact::Plain("opportunityId", id(opportunity_id)),
            Fact::Plain("contactId", id(contact_id)),
            Fact::Personal("content", Some(content)),
            Fact::Personal("followUpType", Some(follow_up_type)),
        ]
    }
}

impl Evented for Entity {
    type Shown = FollowUp;
}
