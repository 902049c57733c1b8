//! The rows that are found, best first: those whose whole text is what was searched, those that begin with it, those of which
//! each word begins one, the others; the newest of each first.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::Order,
    sea_query::{
        Alias, Asterisk, BinOper, CaseStatement, CommonTableExpression, Expr, ExprTrait, Func, JoinType, Query,
        SelectStatement,
    },
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

/// How many of the newest rows are looked at first.
const NEWEST: u64 = FEW / 4;
/// What is looked through, in a statement: ids.
const LOOKED_AT: &str = "looked_at";
const BEST: &str = "best";

/// The best of the tenant's rows of `E` that hold all words, at most `limit`. At most [`FEW`] rows are looked at: of more that
/// the index finds, those; where it finds none because too many have the words, the newest, and no more than [`NEWEST`] if these
/// are enough.
///
/// # Errors
/// A fault of the database.
pub async fn find<E: Listed>(
    db: &impl ConnectionTrait,
    tenant: &Tenant,
    (resource_type, text): (&str, &SearchText),
    of: (E::Column, Option<E::Column>),
    limit: u64,
) -> Result<RankedRows> {
    let found = look_up(db, tenant, resource_type, text).await?;
    let best = best::<E>(db.get_database_backend(), tenant, text, of).limit(limit).take();
    if let Some(mut ids) = found.ids {
        let (rows, looked_at) = read(db, ids.limit(FEW + 1).take(), best).await?;
        return Ok(RankedRows { rows, is_complete: found.is_built && found.is_current && looked_at <= FEW });
    }
    let (mut rows, _) = read(db, newest::<E>(tenant, NEWEST), best.clone()).await?;
    if (rows.len() as u64) < limit {
        rows = read(db, newest::<E>(tenant, FEW), best).await?.0;
    }
    Ok(RankedRows { rows, is_complete: false })
}

/// The ids of the newest rows.
fn newest<E: Listed>(tenant: &Tenant, most: u64) -> SelectStatement {
    let rows = stored::<E>(tenant).order_by(E::CREATED, Order::Desc).order_by(E::ID, Order::Desc).limit(most);
    rows.select_only().expr_as(E::ID.into_expr(), "resource_id").into_query()
}

/// The best of these rows, and how many these are.
async fn read(db: &impl ConnectionTrait, ids: SelectStatement, best: SelectStatement) -> Result<(Vec<RankedRow>, u64)> {
    let looked_at = Query::select().expr(Expr::cust("count(*)")).from(LOOKED_AT).take();
    let mut rows = Query::select();
    rows.column((BEST, Asterisk)).expr(Expr::from(looked_at));
    // One row at least, which says how many were looked at.
    rows.from_subquery(Query::select().expr_as(Expr::val(1_i32), "one").take(), "always");
    rows.join_subquery(JoinType::LeftJoin, best, BEST, Expr::cust("TRUE"));
    let ids = CommonTableExpression::new().table_name(LOOKED_AT).column("resource_id").query(ids).to_owned();
    rows.with_cte(ids);
    let (mut best, mut looked_at) = (Vec::new(), 0);
    for row in db.query_all_raw(db.get_database_backend().build(&rows)).await? {
        looked_at = row.try_get_by_index::<i64>(5)?.unsigned_abs();
        if let Some(rank) = row.try_get_by_index(0)? {
            best.push(RankedRow {
                rank,
                created_at: row.try_get_by_index(1)?,
                id: row.try_get_by_index(2)?,
                text: row.try_get_by_index(3)?,
                owner: row.try_get_by_index(4)?,
            });
        }
    }
    Ok((best, looked_at))
}

/// The rows among those that are looked at, the best first.
fn best<E: Listed>(
    backend: DbBackend,
    tenant: &Tenant,
    text: &SearchText,
    (column, owner): (E::Column, Option<E::Column>),
) -> SelectStatement {
    let ids = Query::select().column("resource_id").from(LOOKED_AT).take();
    let rows = stored::<E>(tenant).filter(is_among::<E>(backend, ids)).filter(E::is_shown(tenant));
    let mut rows = rows.select_only().into_query();
    let of = |column: E::Column| Expr::col((E::default(), column));
    let document = |name: &'static str| Expr::col(("search_documents", name));
    rows.expr_as(rank(backend, text), "rank").expr_as(of(E::CREATED), "created_at").expr_as(of(E::ID), "id");
    rows.expr_as(of(column), "text").expr_as(owner.map_or_else(|| Expr::cust("NULL"), of), "owner");
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
