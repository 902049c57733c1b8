//! The rows that are found, best first: those whose whole text is what was searched, those that begin with it, those of which
//! each word begins one, the others; the newest of each first.

use chrono::{DateTime, Utc};
use sea_orm::{
    Condition, ConnectionTrait, DbBackend, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::Order,
    sea_query::{Alias, BinOper, CaseStatement, Expr, ExprTrait, Func, Query, SelectStatement},
};
use uuid::Uuid;

use super::lookup::{look_up, position};
use crate::{
    database::{
        list::{FEW, criterion::is_among, criterion::stored},
        tenancy::Listed,
    },
    error::Result,
    values::{SearchText, Tenant},
};

/// A row that was found.
#[derive(Debug, Clone)]
pub struct RankedRow {
    /// Its place: the smaller the better.
    pub rank: i32,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Its id.
    pub id: Uuid,
    /// Its text.
    pub text: String,
    /// The resource that it belongs to, if one was asked for and it has one.
    pub owner: Option<Uuid>,
}

/// What was found.
#[derive(Debug)]
pub struct RankedRows {
    /// The best.
    pub rows: Vec<RankedRow>,
    /// Whether all rows that may hold the words were looked at.
    pub is_complete: bool,
}

/// The best of the tenant's rows of `E` that hold all words, at most `limit`. At most [`FEW`] rows are looked at: of more that
/// the index finds, those; where it finds none because too many have the words, the newest.
///
/// # Errors
/// A fault of the database.
pub async fn find<E: Listed>(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    (resource_type, text): (&str, &SearchText),
    (column, owner): (E::Column, Option<E::Column>),
    limit: u64,
) -> Result<RankedRows> {
    let backend = db.get_database_backend();
    let found = look_up(db, tenant, resource_type, text).await?;
    let (ids, candidates) = match found.ids {
        Some(mut ids) => {
            let ids = ids.limit(FEW + 1).take();
            let candidates = count(db, ids.clone()).await?;
            (ids, candidates)
        }
        None => (newest::<E>(tenant), FEW + 1),
    };
    let is_complete = found.is_built && found.is_current && candidates <= FEW;
    if candidates == 0 {
        return Ok(RankedRows { rows: Vec::new(), is_complete });
    }
    let of = (column, owner);
    let rows = db.query_all_raw(backend.build(&best::<E>(backend, tenant, text, of, ids).limit(limit).take())).await?;
    let rows = rows.iter().map(|row| {
        Ok(RankedRow {
            rank: row.try_get_by_index(0)?,
            created_at: row.try_get_by_index(1)?,
            id: row.try_get_by_index(2)?,
            text: row.try_get_by_index(3)?,
            owner: row.try_get_by_index(4)?,
        })
    });
    Ok(RankedRows { rows: rows.collect::<Result<_>>()?, is_complete })
}

async fn count(db: &impl ConnectionTrait, ids: SelectStatement) -> Result<u64> {
    let count = Query::select().expr(Expr::cust("count(*)")).from_subquery(ids, Alias::new("counted")).take();
    let row = db.query_one_raw(db.get_database_backend().build(&count)).await?;
    Ok(row.map(|row| row.try_get_by_index::<i64>(0)).transpose()?.unwrap_or_default().unsigned_abs())
}

/// The ids of the newest rows.
fn newest<E: Listed>(tenant: &Tenant) -> SelectStatement {
    let rows = stored::<E>(tenant).order_by(E::CREATED, Order::Desc).order_by(E::ID, Order::Desc).limit(FEW);
    rows.select_only().column(E::ID).into_query()
}

fn best<E: Listed>(
    backend: DbBackend,
    tenant: &Tenant,
    text: &SearchText,
    (column, owner): (E::Column, Option<E::Column>),
    ids: SelectStatement,
) -> SelectStatement {
    let rows = stored::<E>(tenant).filter(is_among::<E>(backend, ids)).filter(E::is_shown(tenant));
    let mut rows = rows.select_only().into_query();
    let of = |column: E::Column| Expr::col((E::default(), column));
    let document = |name: &'static str| Expr::col(("search_documents", name));
    rows.expr(rank(backend, text)).expr(of(E::CREATED)).expr(of(E::ID)).expr(of(column));
    rows.expr(owner.map_or_else(|| Expr::cust("NULL"), of));
    let own = Condition::all()
        .add(document("tenant_id").eq(tenant.as_str()))
        .add(document("resource_id").equals((E::default(), E::ID)));
    rows.inner_join("search_documents", own);
    for word in text.words() {
        rows.and_where(position(backend, word).gt(0_i32));
    }
    rows.order_by_expr(Expr::cust("1"), Order::Asc);
    rows.order_by_expr(hidden(of(E::CREATED)), Order::Desc).order_by_expr(hidden(of(E::ID)), Order::Desc);
    rows
}

/// An order that no index has: the rows are gathered first.
fn hidden(column: Expr) -> Expr {
    Func::coalesce([column.clone(), column]).into()
}

fn rank(backend: DbBackend, text: &SearchText) -> Expr {
    let whole = || Expr::col(("search_documents", "text"));
    let behind_space = || Expr::val(" ").cast_as(Alias::new("text")).binary(BinOper::Custom("||"), whole());
    let function = if backend == DbBackend::Postgres { "strpos" } else { "instr" };
    let begins_word =
        |word: &str| Expr::from(Func::cust(Alias::new(function)).arg(behind_space()).arg(format!(" {word}"))).gt(0_i32);
    let each = text.words().fold(Condition::all(), |each, word| each.add(begins_word(word)));
    CaseStatement::new()
        .case(whole().eq(text.phrase()), 0_i32)
        .case(position(backend, text.phrase()).eq(1_i32), 1_i32)
        .case(each, 2_i32)
        .finally(3_i32)
        .into()
}
