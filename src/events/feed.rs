//! The feed: a tenant's events, ordered by position.

use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Statement};

use super::entity::{Column, Entity, Model};
use crate::{
    database::tenancy::Tenanted,
    error::{Error, Result},
    values::Tenant,
};

/// Which events to read.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Only events after this position; `None` for all that are kept.
    pub after: Option<i64>,
    /// Only events of these types; `None` for all types.
    pub types: Option<Vec<String>>,
    /// Maximum number of events.
    pub limit: u64,
}

/// The tenant's events that match the filter, oldest first.
///
/// # Errors
/// Invalid, if events after the position are no longer kept; unavailable, if events were purged meanwhile; or a
/// database error.
pub async fn read(db: &impl ConnectionTrait, tenant: &Tenant, filter: &Filter) -> Result<Vec<Model>> {
    // Unpublished events may remain before this position. They are not shown, so that the feed has no gaps.
    let kept_from = purged(db, tenant).await?;
    let from = filter.after.unwrap_or_default().max(kept_from);
    let events = Entity::of(tenant)
        .filter(Column::Position.gt(from))
        .apply_if(filter.types.as_ref(), |events, types| events.filter(Column::EventType.is_in(types)))
        .order_by_asc(Column::Position)
        .limit(filter.limit)
        .all(db)
        .await?;
    // Read again afterwards, to notice what retention deleted meanwhile.
    let kept_from_now = purged(db, tenant).await?;
    match filter.after {
        Some(after) if after < kept_from_now => {
            Err(Error::invalid("after: events behind this cursor are no longer kept; begin without it"))
        }
        None if kept_from < kept_from_now => Err(Error::unavailable("events were purged while they were read")),
        _ => Ok(events),
    }
}

/// The position up to which the tenant's events are no longer kept.
async fn purged(db: &impl ConnectionTrait, tenant: &Tenant) -> Result<i64> {
    let sql = "SELECT position FROM outbox_purged WHERE tenant_id = $1";
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.as_str().into()]);
    Ok(db.query_one_raw(statement).await?.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default())
}

/// The last assigned position: the cursor of a reader that has read everything.
///
/// # Errors
/// A database error.
pub async fn head(db: &impl ConnectionTrait) -> Result<i64> {
    let sql = "SELECT position FROM outbox_head WHERE id = 1";
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default())
}
