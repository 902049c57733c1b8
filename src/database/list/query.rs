//! The statements that read a page.
//!
//! Each finds ids first, by an index, and then the rows of these: so nothing but what is answered is read whole. Where an
//! index is walked, at most so many of its rows are looked at; the last of them tells where to go on.

use sea_orm::{
    Condition, ConnectionTrait, DbBackend, FromQueryResult, IdenStatic, Iterable, QueryFilter, QueryOrder, QueryResult,
    QuerySelect, QueryTrait, Select, Statement, Value,
    sea_query::{
        Alias, Expr, ExprTrait, Func, IntoCondition, JoinType, Order as SqlOrder, Query, SelectStatement, UnionType,
    },
};

use super::{
    criterion::{Criterion, is_among, stored},
    order::{self, Key, behind, column},
};
use crate::{database::tenancy::Listed, error::Result, values::Tenant};

/// How many rows of a tenant may be looked at for a page, and are counted for a total.
pub const BOUND: u64 = 10_000;

/// The part of a page that one statement reads.
#[derive(Debug)]
pub(super) struct Piece<M> {
    /// The rows that were found.
    pub rows: Vec<M>,
    /// Where looking ended, because so many had been looked at; none where all were.
    pub cut: Option<Cut<M>>,
    /// The number that was read beside them.
    pub beside: Option<i64>,
    /// A row of the first group that is larger than what may be looked at.
    pub large: Option<M>,
}

/// Where looking ended.
#[derive(Debug)]
pub(super) struct Cut<M> {
    /// The last row that was looked at. It need not be one of the list.
    pub row: M,
    /// The columns whose values are those of the part of the list that was read, whatever that row has.
    pub held: Vec<(&'static str, Value)>,
}

impl<M> Default for Piece<M> {
    fn default() -> Self {
        Self { rows: Vec::new(), cut: None, beside: None, large: None }
    }
}

/// How many rows to read, and how many to look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub offset: u64,
    pub limit: u64,
    pub bound: u64,
}

impl Window {
    /// One that stands for others, by numbers that nothing else in a statement is.
    pub fn any() -> Self {
        Self { offset: 987_654_321, limit: 987_654_322, bound: 0 }
    }
}

/// Of whom and what.
pub(super) struct Scope<'l, E: Listed> {
    pub backend: DbBackend,
    pub tenant: &'l Tenant,
    pub criteria: &'l [Criterion<E>],
}

const FOUND: &str = "list_found";
const BESIDE: &str = "list_beside";
const WALKED: &str = "walked";
/// What a row of the walk is.
const IS_FOUND: i32 = 1;
const IS_CUT: i32 = 2;
const IS_LARGE: i32 = 3;

impl<E: Listed> Scope<'_, E> {
    /// All that the rows of the list are to meet.
    pub fn condition(&self) -> Condition {
        let all = Condition::all().add(E::is_shown(self.tenant));
        self.criteria.iter().fold(all, |all, criterion| all.add(criterion.condition.clone()))
    }

    /// The rows whose ids `ids` finds, filtered and sorted.
    pub async fn gather(
        &self,
        db: &impl ConnectionTrait,
        ids: SelectStatement,
        keys: &[Key<E>],
        Window { offset, limit, .. }: Window,
    ) -> Result<Piece<E::Model>> {
        let mut found = walked(self.gathered(ids), keys, IS_FOUND);
        found.cond_where(self.condition());
        if let Some(behind) = behind(keys) {
            found.cond_where(behind.into_condition());
        }
        order_by(&mut found, keys, false);
        found.limit(limit).offset(offset);
        self.read(db, found, keys, None).await
    }

    /// The stored rows of these ids. They are looked up by these and by nothing else: what is cut is judged by itself, and more
    /// than that are never gathered.
    pub fn gathered(&self, ids: SelectStatement) -> SelectStatement {
        stored::<E>(self.tenant).filter(is_among::<E>(self.backend, ids)).limit(2 * BOUND).into_query()
    }

    /// The statement for the rows of a range of an index, in its order, if nothing is hidden: then as many are looked at as are read. None
    /// of them otherwise.
    pub fn plain(
        &self,
        driving: Condition,
        keys: &[Key<E>],
        Window { offset, limit, .. }: Window,
        beside: Option<&Expr>,
    ) -> Statement {
        let rows = stored::<E>(self.tenant).filter(driving);
        let rows = behind(keys).into_iter().fold(rows, QueryFilter::filter);
        let rows = beside.into_iter().fold(rows, |rows, beside| rows.expr_as(beside.clone(), BESIDE));
        let mut rows = sorted(rows, keys).offset(offset).limit(limit).into_query();
        if let Some(hides) = E::hides(self.tenant) {
            // Asked of as many rows as are read: among all of the range, SQLite would ask each.
            rows = all_of(rows);
            rows.and_where(hides.not());
        }
        self.backend.build(&rows)
    }

    /// Reads these rows, and the number `beside` them, if there is one.
    pub async fn read_plain(
        &self,
        db: &impl ConnectionTrait,
        statement: Statement,
        beside: bool,
    ) -> Result<Piece<E::Model>> {
        let mut piece = Piece::default();
        for row in db.query_all_raw(statement).await? {
            piece.rows.push(E::Model::from_query_result(&row, "")?);
            if beside {
                piece.beside = row.try_get("", BESIDE)?;
            }
        }
        Ok(piece)
    }

    /// The rows in the order of an index, of which `driving` says what range.
    pub async fn walk(
        &self,
        db: &impl ConnectionTrait,
        driving: Condition,
        keys: &[Key<E>],
        window: Window,
        beside: Option<&Expr>,
    ) -> Result<Piece<E::Model>> {
        let Window { offset, limit, bound } = window;
        let range = stored::<E>(self.tenant).filter(driving);
        let range = behind(keys).into_iter().fold(range, QueryFilter::filter);
        let range = sorted(range, keys).into_query();
        let mut found = walked(range.clone().limit(bound).take(), keys, IS_FOUND);
        found.cond_where(self.condition()).limit(limit).offset(offset);
        let cut = walked(range.clone().limit(1).offset(bound - 1).take(), keys, IS_CUT);
        let mut both = all_of(found);
        both.union(UnionType::All, all_of(cut)).limit(limit);
        self.read(db, both, keys, beside).await
    }

    /// The rows in an order of which an index has the first key alone: as many as may be looked at, without the last group of
    /// equal first keys, which may not be whole.
    pub async fn walk_groups(
        &self,
        db: &impl ConnectionTrait,
        driving: Condition,
        keys: &[Key<E>],
        window: Window,
    ) -> Result<Piece<E::Model>> {
        let Some(first) = keys.first() else { return Ok(Piece::default()) };
        let Window { offset, limit, bound } = window;
        let index = |column| Key { column, direction: first.direction, values: &[], after: None };
        let index_order = [first.clone(), index(E::CREATED), index(E::ID)];
        let range = stored::<E>(self.tenant).filter(driving);
        let range = order::not_before(first).into_iter().fold(range, QueryFilter::filter);
        let range = sorted(range, &index_order).into_query();
        let edge = || {
            let edge = range.clone().limit(1).offset(bound).take();
            Query::select().column(first.column).from_subquery(edge, Alias::new("edge")).take()
        };
        let before_edge = order::compare(column::<E>(first.column), first.direction.reversed(), Expr::from(edge()));
        let looked_at = || range.clone().limit(bound + 1).take();

        let mut found = walked(looked_at(), keys, IS_FOUND);
        found.cond_where(self.condition());
        found.cond_where(Condition::any().add(Expr::exists(edge()).not()).add(before_edge.clone()));
        if let Some(behind) = behind(keys) {
            found.cond_where(behind.into_condition());
        }
        order_by(&mut found, keys, false);
        found.limit(limit).offset(offset);
        let mut cut = walked(looked_at(), keys, IS_CUT);
        cut.cond_where(before_edge.into_condition());
        // Else the walk would stay where it is, before a group that is too large.
        if let Some(behind) = behind(keys) {
            cut.cond_where(behind.into_condition());
        }
        order_by(&mut cut, keys, true);
        cut.limit(1);
        let large = walked(range.clone().limit(1).offset(bound).take(), keys, IS_LARGE);
        let mut all = all_of(found);
        all.union(UnionType::All, all_of(cut)).union(UnionType::All, all_of(large));
        self.read(db, all, keys, None).await
    }

    /// Reads the rows of the ids that a walk found.
    async fn read(
        &self,
        db: &impl ConnectionTrait,
        ids: SelectStatement,
        keys: &[Key<E>],
        beside: Option<&Expr>,
    ) -> Result<Piece<E::Model>> {
        let of_walk = |name: &str| Expr::col((Alias::new(WALKED), Alias::new(name)));
        let rows = E::as_shown(self.tenant, stored::<E>(self.tenant)).expr_as(of_walk(FOUND), FOUND);
        let rows = beside.into_iter().fold(rows, |rows, beside| rows.expr_as(beside.clone(), BESIDE));
        let mut rows = rows.into_query();
        // Hidden from SQLite's planner, which might otherwise begin with all rows of the tenant, and index the few by their ids.
        let id = of_walk(E::ID.as_str());
        let same = column::<E>(E::ID).eq(Func::coalesce([id.clone(), id]));
        rows.join_subquery(JoinType::InnerJoin, ids, Alias::new(WALKED), same);
        rows.order_by_expr(of_walk(FOUND), SqlOrder::Asc);
        for key in keys {
            rows.order_by_expr(of_walk(key.column.as_str()), key.direction.into());
        }
        let mut piece = Piece::default();
        for row in db.query_all_raw(self.backend.build(&rows)).await? {
            let model = E::Model::from_query_result(&row, "")?;
            if beside.is_some() {
                piece.beside = row.try_get("", BESIDE)?;
            }
            match found(&row)? {
                IS_FOUND => piece.rows.push(model),
                IS_CUT => piece.cut = Some(Cut { row: model, held: Vec::new() }),
                _ => piece.large = Some(model),
            }
        }
        Ok(piece)
    }
}

fn found(row: &QueryResult) -> Result<i32> {
    Ok(row.try_get("", FOUND)?)
}

fn sorted<E: Listed>(rows: Select<E>, keys: &[Key<E>]) -> Select<E> {
    keys.iter().fold(rows, |rows, key| rows.order_by(column::<E>(key.column), key.direction.into()))
}

fn order_by<E: Listed>(query: &mut SelectStatement, keys: &[Key<E>], reversed: bool) {
    for key in keys {
        let direction = if reversed { key.direction.reversed() } else { key.direction };
        query.order_by_expr(column::<E>(key.column), direction.into());
    }
}

/// The ids of a range of rows, with what they are sorted by. The range has the name of its table, for the conditions on it.
fn walked<E: Listed>(range: SelectStatement, keys: &[Key<E>], what: i32) -> SelectStatement {
    let mut ids = Query::select();
    ids.from_subquery(range, Alias::new(E::default().table_name()));
    for column in E::Column::iter().filter(|column| keys.iter().any(|key| order::is_same(key.column, *column))) {
        ids.expr_as(order::column::<E>(column), Alias::new(column.as_str()));
    }
    ids.expr_as(Expr::val(what), Alias::new(FOUND));
    ids
}

/// As part of a union, in which a query of its own cannot be sorted or cut.
fn all_of(query: SelectStatement) -> SelectStatement {
    let mut all = Query::select();
    all.column(sea_orm::sea_query::Asterisk).from_subquery(query, Alias::new("part"));
    all
}
