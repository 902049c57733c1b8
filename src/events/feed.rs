//! The feed: a tenant's events in the order of their positions.

use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Statement};

use super::entity::{Column, Entity, Model};
use crate::{
    database::tenancy::Tenanted,
    error::{Error, Result},
    values::Tenant,
};

/// Which events are read.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Those behind this position; all that are kept without it.
    pub after: Option<i64>,
    /// Those of these types; of all without it.
    pub types: Option<Vec<String>>,
    /// Maximum number of events.
    pub limit: u64,
}

/// The tenant's events that pass the filter, oldest first.
///
/// # Errors
/// A position behind which events are no longer kept, events that are purged at this moment, or a fault of the database.
pub async fn read(db: &impl ConnectionTrait, tenant: &Tenant, filter: &Filter) -> Result<Vec<Model>> {
    // Before this position some may still be there, to be published: none of them is shown, so that there are no gaps.
    let kept_from = purged(db, tenant).await?;
    let from = filter.after.unwrap_or_default().max(kept_from);
    let events = Entity::of(tenant)
        .filter(Column::Position.gt(from))
        .apply_if(filter.types.as_ref(), |events, types| events.filter(Column::EventType.is_in(types)))
        .order_by_asc(Column::Position)
        .limit(filter.limit)
        .all(db)
        .await?;
    // Looked at afterwards: what the retention took in between is noticed.
    let kept_from_now = purged(db, tenant).await?;
    match filter.after {
        Some(after) if after < kept_from_now => {
            Err(Error::invalid("after: events behind this cursor are no longer kept; begin without it"))
        }
        None if kept_from < kept_from_now => Err(Error::unavailable("events were purged while they were read")),
        _ => Ok(events),
    }
}

/// Up to which position the tenant's events are no longer kept.
async fn purged(db: &impl ConnectionTrait, tenant: &Tenant) -> Result<i64> {
    let sql = "SELECT position FROM outbox_purged WHERE tenant_id = $1";
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.as_str().into()]);
    Ok(db.query_one_raw(statement).await?.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default())
}

/// The last position that was assigned: where a reader stands that has read everything.
///
/// # Errors
/// A fault of the database.
pub async fn head(db: &impl ConnectionTrait) -> Result<i64> {
    let sql = "SELECT position FROM outbox_head WHERE id = 1";
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default())
}
