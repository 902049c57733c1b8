//! Reading: one row by its id, or a page of a list, newest first, by creation time and then id, with the exact total.

use sea_orm::{
    ConnectionTrait, FromQueryResult, Order, PaginatorTrait, QueryOrder, QuerySelect, QueryTrait, Select,
    sea_query::{Expr, Func, Query},
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

/// Where the total of a list comes from.
#[derive(Debug, Clone)]
pub enum Total {
    /// The rows are counted.
    Counted,
    /// The value of this expression, a whole number.
    Kept(Expr),
}

/// The column with the total, beside those of the rows.
const TOTAL: &str = "list_total";

/// Reads the page of `rows` that is asked for, in the order of an index.
///
/// # Errors
/// A fault of the database.
pub async fn page<E>(db: &impl ConnectionTrait, rows: Select<E>, total: Total, paging: Paging) -> Result<List<E::Model>>
where
    E: Listed<Model: Send + Sync>,
{
    let newest_first = rows.clone().order_by(E::CREATED, Order::Desc);
    match total {
        Total::Counted => counted_page(db, rows, newest_first, paging).await,
        Total::Kept(total) => kept_page(db, newest_first, total, paging).await,
    }
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
    counted_page(db, rows, newest_first, paging).await
}

async fn counted_page<E>(
    db: &impl ConnectionTrait,
    rows: Select<E>,
    newest_first: Select<E>,
    paging: Paging,
) -> Result<List<E::Model>>
where
    E: Listed<Model: Send + Sync>,
{
    let data = cut(newest_first, paging).all(db).await?;
    let total = match told_by(&data, paging) {
        Some(total) => total,
        None => rows.count(db).await?,
    };
    Ok(List { data, total })
}

/// The total is read in the statement of the page, so that they cannot contradict each other.
async fn kept_page<E: Listed>(
    db: &impl ConnectionTrait,
    newest_first: Select<E>,
    total: Expr,
    paging: Paging,
) -> Result<List<E::Model>> {
    let backend = db.get_database_backend();
    let page = cut(newest_first, paging).expr_as(total.clone(), TOTAL).into_query();
    let rows = db.query_all_raw(backend.build(&page)).await?;
    let data =
        rows.iter().map(|row| E::Model::from_query_result(row, "")).collect::<std::result::Result<Vec<_>, _>>()?;
    if let Some(total) = told_by(&data, paging) {
        return Ok(List { data, total });
    }
    let total: Option<i64> = match rows.first() {
        Some(row) => Some(row.try_get("", TOTAL)?),
        // A page past the end.
        None => {
            let total = db.query_one_raw(backend.build(&Query::select().expr(total).take())).await?;
            total.map(|row| row.try_get_by_index(0)).transpose()?
        }
    };
    let total = total.and_then(|total| u64::try_from(total).ok()).unwrap_or_default();
    Ok(List { data, total })
}

/// With the id, a total order, so that no item is skipped or doubled.
fn cut<E: Listed>(newest_first: Select<E>, Paging { offset, limit }: Paging) -> Select<E> {
    newest_first.order_by(E::ID, Order::Desc).offset(offset).limit(limit)
}

/// A page that is not full is the last one and tells the total.
fn told_by<M>(data: &[M], Paging { offset, limit }: Paging) -> Option<u64> {
    let seen = data.len() as u64;
    (seen < limit && (seen > 0 || offset == 0)).then_some(offset + seen)
}
