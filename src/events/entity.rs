//! The `outbox` table: events, with a position once they are committed.

use sea_orm::{FromQueryResult, QueryResult, entity::prelude::*};

use crate::database::{decode::decode, tenancy::Tenanted};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub seq: i64,
    pub position: Option<i64>,
    pub tenant_id: String,
    pub event_id: Uuid,
    pub event_type: String,
    pub aggregate_id: Uuid,
    pub version: i64,
    pub occurred_at: DateTimeUtc,
    pub trace_id: String,
    pub data: String,
}

impl Model {
    /// The event of a row, or what is wrong with the row.
    pub(crate) fn read(row: &QueryResult) -> Result<Self, String> {
        decode(|| Self::from_query_result(row, ""))
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const TENANT: Column = Column::TenantId;
}
