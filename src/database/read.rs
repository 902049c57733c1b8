//! Reading: one row by its id, or a page of a list, newest first, by creation time and then id, with the exact total.

use sea_orm::{
    ConnectionTrait, Order, PaginatorTrait, QueryOrder, QuerySelect, Select,
    sea_query::{Expr, Func},
};
use uuid::Uuid;

use super::tenancy::Listed;
use crate::{
    error::{Error, Result},
    values::{
        Tenant,
        page::{List, Paging},
    },
};

/// Reads the tenant's row with this id.
///
/// # Errors
/// [`Error::not_found`], or a fault of the database.
pub async fn one<E: Listed>(db: &impl ConnectionTrait, tenant: &Tenant, id: Uuid) -> Result<E::Model> {
    E::one(tenant, id).all(db).await?.pop().ok_or_else(Error::not_found)
}

/// Reads the page of `rows` that is asked for, in the order of an index.
///
/// # Errors
/// A fault of the database.
pub async fn page<E>(db: &impl ConnectionTrait, rows: Select<E>, paging: Paging) -> Result<List<E::Model>>
where
    E: Listed<Model: Send + Sync>,
{
    let newest_first = rows.clone().order_by(E::CREATED, Order::Desc);
    page_of(db, rows, newest_first, paging).await
}

/// Reads the page of `rows` that is asked for, for selective filters: the database filters first, then sorts. The order is
/// hidden from its planner, which might otherwise walk the tenant's index in that order.
///
/// # Errors
/// A fault of the database.
pub async fn page_sorted<E>(db: &impl ConnectionTrait, rows: Select<E>, paging: Paging) -> Result<List<E::Model>>
where
    E: Listed<Model: Send + Sync>,
{
    let created = Expr::col((E::default(), E::CREATED));
    let hidden = Func::coalesce([created.clone(), created]);
    let newest_first = rows.clone().order_by(Expr::from(hidden), Order::Desc);
    page_of(db, rows, newest_first, paging).await
}

/// With the id, a total order, so that no item is skipped or doubled.
async fn page_of<E>(
    db: &impl ConnectionTrait,
    rows: Select<E>,
    newest_first: Select<E>,
    paging: Paging,
) -> Result<List<E::Model>>
where
    E: Listed<Model: Send + Sync>,
{
    let Paging { offset, limit } = paging;
    let newest_first = newest_first.order_by(E::ID, Order::Desc);
    let data = newest_first.offset(offset).limit(limit).all(db).await?;
    let seen = data.len() as u64;
    // A page that is not full is the last one and tells the total: only the others need a count.
    let last = seen < limit && (seen > 0 || offset == 0);
    let total = if last { offset + seen } else { rows.count(db).await? };
    Ok(List { data, total })
}
