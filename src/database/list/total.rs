//! How many rows a list has.

use std::{fmt, sync::Arc};

use sea_orm::{
    Condition, ConnectionTrait, DbBackend, IdenStatic, QueryFilter, QueryResult, QuerySelect, QueryTrait, Select,
    sea_query::{Alias, CaseStatement, Expr, ExprTrait, Func, Query, SelectStatement},
};

use super::{
    criterion::{Criterion, is_among, stored},
    query::{BOUND, Scope},
};
use crate::{
    database::{pipeline::standing::Standing, tenancy::Listed},
    error::Result,
    values::Tenant,
};

/// One row in so many is in the sample of its table: those whose id, which is random there, ends in a zero byte. An index of the
/// migration has them, with all columns that lists are filtered by.
const SAMPLED: u64 = 256;
/// If so many of the sample meet the criteria, more than [`BOUND`] rows do. With no more, a quarter would be expected, and the
/// probability to meet all of these is below 10⁻³⁸. That there are [`FAR_MORE`] is as certain as 10⁻¹³.
const MANY: u64 = 4 * BOUND / SAMPLED;
const FAR_MORE: u64 = 2 * BOUND;
/// How many rows of the sample are looked at: those of a million.
const LOOKED_AT: u64 = 4_000;

/// Where the total of a list comes from.
#[derive(Debug, Clone)]
pub enum Total {
    /// Nobody wants to know.
    Unknown,
    /// The rows are counted, as far as they may be looked at.
    Counted,
    /// The value of an expression, a whole number.
    Kept(Kept),
    /// The totals of the pipeline, if they have all opportunities already; else they are counted.
    Standing(Standing),
}

/// An expression for a number of a tenant's rows that is kept, made where it is wanted.
#[derive(Clone)]
pub struct Kept(Arc<dyn Fn(&Tenant) -> Expr + Send + Sync>);

impl Kept {
    pub(super) fn expression(&self, tenant: &Tenant) -> Expr {
        (self.0)(tenant)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl Total {
    /// The value of this expression for the tenant whose list it is, a whole number.
    #[must_use]
    pub fn kept(expression: impl Fn(&Tenant) -> Expr + Send + Sync + 'static) -> Self {
        Self::Kept(Kept(Arc::new(expression)))
    }

    /// This total, where it is wanted; counted where the list is filtered by what it does not know.
    #[must_use]
    pub fn of_list(self, is_wanted: bool, is_filtered: bool) -> Self {
        match (is_wanted, is_filtered) {
            (false, _) => Self::Unknown,
            (true, false) => self,
            (true, true) => Self::Counted,
        }
    }
}

/// A number of rows: at least so many, or exactly so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// So many were counted.
    pub rows: u64,
    /// Whether there are no more.
    pub is_exact: bool,
}

impl Count {
    pub(super) fn exact(rows: u64) -> Self {
        Self { rows, is_exact: true }
    }

    /// More than are counted.
    fn more() -> Self {
        Self { rows: BOUND, is_exact: false }
    }
}

/// A number of rows that was counted, and what may be said of it later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    pub count: Count,
    /// How many there were at least.
    at_least: u64,
    /// How old the tenant was, if it was of an age.
    age: Option<i64>,
}

impl Counted {
    fn exact((rows, age): (u64, Option<i64>)) -> Self {
        Self { count: Count::exact(rows), at_least: rows, age }
    }

    /// From a count that went to one more than the bound.
    fn bounded((rows, age): (u64, Option<i64>)) -> Self {
        let count = if rows <= BOUND { Count::exact(rows) } else { Count::more() };
        Self { count, at_least: rows, age }
    }

    /// What is true of it at another age of the tenant.
    pub fn at(self, age: i64) -> Option<Count> {
        let entries = u64::try_from(age.checked_sub(self.age?)?).ok()?;
        match self.at_least.saturating_sub(entries) {
            _ if entries == 0 => Some(self.count),
            left if left > BOUND => Some(Count::more()),
            _ => None,
        }
    }
}

/// How many entries the tenant's trail has got, chained or waiting, and how many of them it has lost to the retention; none where
/// rows are hidden that are not removed yet. What that tells of a list: [`super::known`]. The tables belong to rooms above this one.
pub(super) fn age(tenant: &Tenant) -> Expr {
    let of_tenant = |table: &'static str| {
        let mut rows = Query::select();
        rows.from(table).and_where(Expr::col((table, "tenant_id")).eq(tenant.as_str()));
        rows
    };
    let hidden = of_tenant("deletions").expr(Expr::val(1_i32)).take();
    let chained = of_tenant("audit_heads").expr(Expr::cust("sequence + purged_sequence")).take();
    let waiting = of_tenant("audit_queue").expr(Expr::cust("count(*)")).take();
    let entries = Expr::from(Func::coalesce([Expr::from(chained), Expr::val(0_i64)])).add(Expr::from(waiting));
    Expr::case(Expr::exists(hidden), Expr::cust("NULL")).finally(entries.cast_as("bigint")).into()
}

/// How old the tenant is now.
pub(super) async fn age_now<E: Listed>(db: &impl ConnectionTrait, scope: &Scope<'_, E>) -> Result<Option<i64>> {
    let row = db.query_one_raw(scope.backend.build(&Query::select().expr(age(scope.tenant)).take())).await?;
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.flatten())
}

/// How many rows each criterion's index finds, as far as `most`; none where it has no index.
pub(super) async fn found_by_each<E: Listed>(
    db: &impl ConnectionTrait,
    scope: &Scope<'_, E>,
    most: u64,
) -> Result<Vec<Option<u64>>> {
    let mut counts = Query::select();
    for criterion in scope.criteria {
        match criterion.ids(scope.tenant) {
            Some(ids) if criterion.is_exact() => counts.expr(counted_to(scope.backend, ids, most)),
            Some(mut ids) => counts.expr(Expr::from(count(ids.limit(most + 1).take()))),
            None => counts.expr(Expr::cust("NULL")),
        };
    }
    let row = db.query_one_raw(scope.backend.build(&counts)).await?;
    let Some(row) = row else { return Ok(vec![None; scope.criteria.len()]) };
    let count = |index| {
        let count: Option<i64> = row.try_get_by_index(index)?;
        Ok(count.and_then(|count| u64::try_from(count).ok()))
    };
    (0..scope.criteria.len()).map(count).collect()
}

/// How many rows the list has.
pub(super) async fn counted<E: Listed>(db: &impl ConnectionTrait, scope: &Scope<'_, E>) -> Result<Counted> {
    match scope.criteria {
        [] => only(db, scope, &Criterion::only(Condition::all())).await,
        [one] if one.is_exact() => only(db, scope, one).await,
        _ => among(db, scope).await,
    }
}

/// The rows that meet a single condition, which is that of an index. Where nothing is deleted, the rows themselves are not
/// looked at.
async fn only<E: Listed>(db: &impl ConnectionTrait, scope: &Scope<'_, E>, criterion: &Criterion<E>) -> Result<Counted> {
    let stored = stored::<E>(scope.tenant).filter(criterion.condition.clone());
    let shown = stored.clone().filter(E::is_shown(scope.tenant));
    let bounded = |rows: Select<E>| counted_to(scope.backend, id_of(rows), BOUND);
    let counted = CaseStatement::new().case(are_many(scope), number_of(FAR_MORE));
    let counted = match E::hides(scope.tenant) {
        Some(hides) => counted.case(hides, bounded(shown)),
        None => counted,
    };
    let counted = Query::select().expr(counted.finally(bounded(stored))).take();
    number(db, scope, counted).await.map(Counted::bounded)
}

/// The rows that meet all conditions: of the criterion by whose index the fewest are found, unless a sample tells that far more rows
/// than are counted meet them.
async fn among<E: Listed>(db: &impl ConnectionTrait, scope: &Scope<'_, E>) -> Result<Counted> {
    let sampled = CaseStatement::new().case(are_many(scope), number_of(FAR_MORE)).finally(0_i64);
    let sampled = number(db, scope, Query::select().expr(sampled).take()).await?;
    if sampled.0 > 0 {
        return Ok(Counted::bounded(sampled));
    }
    let found = found_by_each(db, scope, BOUND).await?;
    let smallest = scope.criteria.iter().zip(found).filter_map(|(one, found)| Some((one, found?)));
    let smallest = smallest.min_by_key(|(_, found)| *found);
    if let Some((criterion, found)) = smallest
        && found <= BOUND
        && let Some(ids) = criterion.ids(scope.tenant)
    {
        let mut rows = Query::select();
        rows.expr(Expr::cust("count(*)")).cond_where(scope.condition());
        rows.from_subquery(scope.gathered(ids), Alias::new(E::default().table_name()));
        return number(db, scope, rows).await.map(Counted::exact);
    }
    among_some(db, scope, smallest.map(|(criterion, _)| criterion)).await
}

/// Whether the sample tells that far more than [`BOUND`] rows meet the criteria.
fn are_many<E: Listed>(scope: &Scope<'_, E>) -> Expr {
    let (table, id) = (E::default(), E::ID.as_str());
    let name = table.table_name();
    let is_sampled = match scope.backend {
        DbBackend::Postgres => format!("get_byte(uuid_send({name}.{id}), 15) = 0"),
        _ => format!("substr({name}.{id}, 16, 1) = x'00'"),
    };
    let columns = std::iter::once(E::ID).chain(E::FILTERED.iter().copied());
    let sample = stored::<E>(scope.tenant).filter(Expr::cust(is_sampled)).select_only().columns(columns);
    let sample = sample.limit(LOOKED_AT).into_query();
    let mut met = Query::select();
    met.column((table, E::ID)).from_subquery(sample, Alias::new(name)).cond_where(scope.condition());
    Expr::exists(met.limit(1).offset(MANY - 1).take())
}

/// The rows that meet all conditions, among as many as may be looked at of those that one index has.
async fn among_some<E: Listed>(
    db: &impl ConnectionTrait,
    scope: &Scope<'_, E>,
    by: Option<&Criterion<E>>,
) -> Result<Counted> {
    let range = stored::<E>(scope.tenant);
    let range = match by {
        Some(criterion) if criterion.is_exact() => range.filter(criterion.condition.clone()),
        Some(criterion) => match criterion.ids(scope.tenant) {
            Some(mut ids) => range.filter(is_among::<E>(scope.backend, ids.limit(BOUND + 1).take())),
            None => range,
        },
        None => range,
    };
    let range = range.limit(BOUND + 1).into_query();
    let is_met = CaseStatement::new().case(scope.condition(), 1);
    let mut counts = Query::select();
    counts.expr(Func::count(is_met)).expr(age(scope.tenant)).expr(Expr::cust("count(*)"));
    counts.from_subquery(range, Alias::new(E::default().table_name()));
    let Some(row) = db.query_one_raw(scope.backend.build(&counts)).await? else {
        return Ok(Counted::exact((0, None)));
    };
    let (rows, age) = number_and_age(&row)?;
    let is_exact = row.try_get_by_index::<i64>(2)?.unsigned_abs() <= BOUND;
    Ok(Counted { count: Count { rows: Ord::min(rows, BOUND), is_exact }, at_least: rows, age })
}

/// The number of rows that is kept.
pub(super) async fn kept<E: Listed>(db: &impl ConnectionTrait, scope: &Scope<'_, E>, total: &Kept) -> Result<Count> {
    let row =
        db.query_one_raw(scope.backend.build(&Query::select().expr(total.expression(scope.tenant)).take())).await?;
    let number: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?;
    Ok(Count::exact(number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default()))
}

/// The number that a query answers, and the age at which it does.
async fn number<E: Listed>(
    db: &impl ConnectionTrait,
    scope: &Scope<'_, E>,
    mut query: SelectStatement,
) -> Result<(u64, Option<i64>)> {
    query.expr(age(scope.tenant));
    let row = db.query_one_raw(scope.backend.build(&query)).await?;
    row.map_or(Ok((0, None)), |row| number_and_age(&row))
}

fn number_and_age(row: &QueryResult) -> Result<(u64, Option<i64>)> {
    let number: Option<i64> = row.try_get_by_index(0)?;
    Ok((number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default(), row.try_get_by_index(1)?))
}

fn id_of<E: Listed>(rows: Select<E>) -> SelectStatement {
    rows.select_only().column(E::ID).into_query()
}

/// How many rows a query has, if not more than `most`; that and one otherwise.
fn counted_to(backend: DbBackend, mut rows: SelectStatement, most: u64) -> Expr {
    if backend == DbBackend::Postgres {
        return count(rows.limit(most + 1).take()).into();
    }
    // In SQLite, to skip rows of an index is much cheaper than to count them.
    let more = Expr::exists(rows.clone().limit(1).offset(most).take());
    CaseStatement::new().case(more, number_of(most + 1)).finally(Expr::from(count(rows))).into()
}

fn number_of(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// How many rows a query has.
fn count(ids: SelectStatement) -> SelectStatement {
    Query::select().expr(Expr::cust("count(*)")).from_subquery(ids, Alias::new("counted")).take()
}
