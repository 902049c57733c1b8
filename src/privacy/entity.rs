//! The `erasures` table: erasures that were asked for, each with its certificate, and how far one is that is under way.

use sea_orm::entity::prelude::*;

use crate::{auth::Actor, database::tenancy::Tenanted, values::Tenant};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "erasures")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub erasure_id: Uuid,
    pub customer_id: Uuid,
    pub requested_at: DateTimeUtc,
    pub actor: String,
    pub client: Option<String>,
    pub request_id: String,
    pub trace_id: String,
    pub with_follow_ups: bool,
    pub customers: i64,
    pub contacts: i64,
    pub follow_ups: i64,
    pub events: i64,
    /// Up to which `seq` stored events are done.
    pub events_done: i64,
    /// Up to which they are to be; none while there are rows to do.
    pub events_until: Option<i64>,
    pub completed_at: Option<DateTimeUtc>,
}

impl Model {
    /// Who asked for it.
    pub(super) fn actor(&self) -> Actor {
        Actor {
            tenant: Tenant::stored(self.tenant_id.clone()),
            name: self.actor.clone(),
            client: self.client.clone(),
            request_id: self.request_id.clone(),
            trace_id: self.trace_id.clone(),
        }
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const TENANT: Column = Column::TenantId;
}
