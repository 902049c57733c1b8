//! How many rows a list has.

use sea_orm::{
    Condition, ConnectionTrait, DbBackend, IdenStatic, QueryFilter, QuerySelect, QueryTrait, Select,
    sea_query::{Alias, CaseStatement, Expr, Func, Query, SelectStatement},
};

use super::{
    criterion::{Criterion, is_among, stored},
    query::{BOUND, Scope},
};
use crate::{
    database::{pipeline::standing::Standing, tenancy::Listed},
    error::Result,
};

/// One row in so many is in the sample of its table: those whose id, which is random there, ends in a zero byte. An index of the
/// migration has them, with all columns that lists are filtered by.
const SAMPLED: u64 = 256;
/// If so many of the sample meet the criteria, more than [`BOUND`] rows do. With no more, a quarter would be expected, and the
/// probability to meet all of these is below 10⁻³⁸.
const MANY: u64 = 4 * BOUND / SAMPLED;
/// How many rows of the sample are looked at: those of a million.
const LOOKED_AT: u64 = 4_000;

/// Where the total of a list comes from.
#[derive(Debug, Clone)]
pub enum Total {
    /// Nobody wants to know.
    Unknown,
    /// The rows are counted, as far as they may be looked at.
    Counted,
    /// The value of this expression, a whole number.
    Kept(Expr),
    /// The totals of the pipeline, if they have all opportunities already; else they are counted.
    Standing(Standing),
}

impl Total {
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
    pub(super) fn more() -> Self {
        Self::bounded(BOUND + 1)
    }

    /// From a count that went to one more than the bound.
    fn bounded(rows: u64) -> Self {
        Self { rows: Ord::min(rows, BOUND), is_exact: rows <= BOUND }
    }
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

/// How many rows the list has. `smallest`: the criterion whose index finds the fewest rows, and how many.
pub(super) async fn counted<E: Listed>(
    db: &impl ConnectionTrait,
    scope: &Scope<'_, E>,
    smallest: Option<(&Criterion<E>, u64)>,
) -> Result<Count> {
    if let Some((criterion, found)) = smallest
        && found <= BOUND
        && let Some(ids) = criterion.ids(scope.tenant)
    {
        let mut rows = Query::select();
        rows.expr(Expr::cust("count(*)")).cond_where(scope.condition());
        rows.from_subquery(scope.gathered(ids), Alias::new(E::default().table_name()));
        return Ok(Count::exact(number(db, scope, rows).await?));
    }
    match scope.criteria {
        [] => only(db, scope, &Criterion::only(Condition::all())).await,
        [one] if one.is_exact() => only(db, scope, one).await,
        _ => among_some(db, scope, smallest.map(|(criterion, _)| criterion)).await,
    }
}

/// The rows that meet a single condition, which is that of an index. Where nothing is deleted, the rows themselves are not
/// looked at.
async fn only<E: Listed>(db: &impl ConnectionTrait, scope: &Scope<'_, E>, criterion: &Criterion<E>) -> Result<Count> {
    let stored = stored::<E>(scope.tenant).filter(criterion.condition.clone());
    let shown = stored.clone().filter(E::is_shown(scope.tenant));
    let bounded = |rows: Select<E>| counted_to(scope.backend, id_of(rows), BOUND);
    let counted = CaseStatement::new().case(are_many(scope), more_than(BOUND));
    let counted = match E::hides(scope.tenant) {
        Some(hides) => counted.case(hides, bounded(shown)),
        None => counted,
    };
    let counted = Query::select().expr(counted.finally(bounded(stored))).take();
    number(db, scope, counted).await.map(Count::bounded)
}

/// Whether the sample tells that far more than [`BOUND`] rows meet the criteria.
pub(super) async fn is_large<E: Listed>(db: &impl ConnectionTrait, scope: &Scope<'_, E>) -> Result<bool> {
    let answer = CaseStatement::new().case(are_many(scope), 1_i64).finally(0_i64);
    number(db, scope, Query::select().expr(answer).take()).await.map(|answer| answer == 1)
}

/// The same as a condition.
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
) -> Result<Count> {
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
    counts.expr(Expr::cust("count(*)")).expr(Func::count(is_met));
    counts.from_subquery(range, Alias::new(E::default().table_name()));
    let Some(row) = db.query_one_raw(scope.backend.build(&counts)).await? else { return Ok(Count::exact(0)) };
    let (looked_at, rows) = (row.try_get_by_index::<i64>(0)?, row.try_get_by_index::<i64>(1)?);
    let (looked_at, rows) = (looked_at.unsigned_abs(), rows.unsigned_abs());
    Ok(Count { rows: Ord::min(rows, BOUND), is_exact: looked_at <= BOUND })
}

/// The value of an expression that is a number of rows.
pub(super) async fn kept<E: Listed>(db: &impl ConnectionTrait, scope: &Scope<'_, E>, total: Expr) -> Result<Count> {
    number(db, scope, Query::select().expr(total).take()).await.map(Count::exact)
}

async fn number<E: Listed>(db: &impl ConnectionTrait, scope: &Scope<'_, E>, query: SelectStatement) -> Result<u64> {
    let row = db.query_one_raw(scope.backend.build(&query)).await?;
    let number: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?;
    Ok(number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default())
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
    CaseStatement::new().case(more, more_than(most)).finally(Expr::from(count(rows))).into()
}

fn more_than(most: u64) -> i64 {
    i64::try_from(most + 1).unwrap_or(i64::MAX)
}

/// How many rows a query has.
fn count(ids: SelectStatement) -> SelectStatement {
    Query::select().expr(Expr::cust("count(*)")).from_subquery(ids, Alias::new("counted")).take()
}
