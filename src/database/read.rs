//! Reading: one row by its id, or a page of a list, newest first, by creation time and then id, with the exact total.

use sea_orm::{ConnectionTrait, Order, PaginatorTrait, QueryOrder, QuerySelect, Select};

use uuid::Uuid;

use super::tenancy::Resource;
use crate::{
    error::{ApiError, Result},
    http::page::{List, Paging},
    values::Tenant,
};

/// Reads the tenant's row with this id.
///
/// # Errors
/// 404, or a fault of the database.
pub async fn one<E: Resource>(db: &impl ConnectionTrait, tenant: &Tenant, id: Uuid) -> Result<E::Model> {
    E::one(tenant, id).all(db).await?.pop().ok_or_else(ApiError::not_found)
}

/// Reads the page of `rows` that is asked for.
///
/// # Errors
/// A fault of the database.
pub async fn page<E>(db: &impl ConnectionTrait, rows: Select<E>, paging: Paging) -> Result<List<E::Model>>
where
    E: Resource,
    E::Model: Send + Sync + Sized,
{
    let Paging { offset, limit } = paging;
    let page = in_order(rows.clone()).offset(offset.min(i64::MAX as u64)).limit(limit);
    let data = page.all(db).await?;
    let seen = data.len() as u64;
    // A page that is not full is the last one, and tells the total; so counting, which costs more than the page, is left
    // for the others.
    let last = seen < limit && (seen > 0 || offset == 0);
    let total = if last { offset + seen } else { rows.count(db).await? };
    Ok(List { data, total })
}

/// The order of every list: total, so that no item is skipped or doubled.
#[must_use]
pub fn in_order<E: Resource>(rows: Select<E>) -> Select<E> {
    rows.order_by(E::CREATED, Order::Desc).order_by(E::ID, Order::Desc)
}
