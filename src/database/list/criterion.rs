//! What a list is filtered by.

use std::ops::Bound;

use sea_orm::{
    ColumnTrait, Condition, DbBackend, QueryFilter, QuerySelect, QueryTrait, Value,
    sea_query::{Expr, ExprTrait, SelectStatement, SimpleExpr},
};

use crate::{database::tenancy::Listed, values::Tenant};

/// One condition that the rows of a list are to meet, and the index by which those that do are found, if there is one.
#[derive(Debug, Clone)]
pub struct Criterion<E: Listed> {
    pub(super) condition: Condition,
    pub(super) path: Path<E>,
    /// Whether all that changes which rows meet it leaves an entry in the audit trail.
    pub(super) is_audited: bool,
}

/// How the rows that meet a criterion are found without looking at others.
#[derive(Debug, Clone)]
pub(super) enum Path<E: Listed> {
    /// By an index over tenant, this column, the time of creation and the id. The column has one value.
    Equal(E::Column),
    /// By an index that begins with tenant and this column.
    Column(E::Column),
    /// By this query of their ids. It may find more.
    Ids(Box<SelectStatement>),
    /// Not at all.
    None,
}

impl<E: Listed> Criterion<E> {
    /// Rows with this value in a column with an index over tenant, the column, the time of creation and the id.
    #[must_use]
    pub fn equal(column: E::Column, value: impl Into<Value>) -> Self {
        Self::equal_where(column, Condition::all().add(column.eq(value)))
    }

    /// The same, for a condition that says more of the column than which value it has.
    #[must_use]
    pub fn equal_where(column: E::Column, condition: Condition) -> Self {
        Self::new(condition, Path::Equal(column))
    }

    /// Rows with one of these values in such a column; no criterion without values.
    #[must_use]
    pub fn one_of(column: E::Column, values: impl IntoIterator<Item = impl Into<Value>>) -> Option<Self> {
        let mut values: Vec<Value> = values.into_iter().map(Into::into).collect();
        match values.len() {
            0 => None,
            1 => values.pop().map(|value| Self::equal(column, value)),
            _ => {
                let condition = Condition::all().add(column.is_in(values));
                Some(Self::new(condition, Path::Column(column)))
            }
        }
    }

    /// Rows whose value in such a column is within bounds; no criterion without bounds.
    #[must_use]
    pub fn within<V: Into<Value>>(column: E::Column, from: Bound<V>, to: Bound<V>) -> Option<Self> {
        let from = match from {
            Bound::Included(from) => Some(column.gte(from)),
            Bound::Excluded(from) => Some(column.gt(from)),
            Bound::Unbounded => None,
        };
        let to = match to {
            Bound::Included(to) => Some(column.lte(to)),
            Bound::Excluded(to) => Some(column.lt(to)),
            Bound::Unbounded => None,
        };
        let bounds: Vec<SimpleExpr> = from.into_iter().chain(to).collect();
        let condition = bounds.iter().cloned().fold(Condition::all(), Condition::add);
        (!bounds.is_empty()).then(|| Self::new(condition, Path::Column(column)))
    }

    /// Rows that meet the condition; `ids` finds their ids, and maybe more, by an index.
    #[must_use]
    pub fn found_by(condition: Condition, ids: SelectStatement) -> Self {
        Self::new(condition, Path::Ids(Box::new(ids)))
    }

    /// Rows that meet the condition, which no index finds.
    #[must_use]
    pub fn only(condition: Condition) -> Self {
        Self::new(condition, Path::None)
    }

    /// The same, where the background may change which rows meet it: what text is found by, blind indexes.
    #[must_use]
    pub fn unaudited(self) -> Self {
        Self { is_audited: false, ..self }
    }

    fn new(condition: Condition, path: Path<E>) -> Self {
        Self { condition, path, is_audited: true }
    }

    /// Whether what is found by the path is what meets the criterion.
    pub(super) fn is_exact(&self) -> bool {
        matches!(self.path, Path::Equal(_) | Path::Column(_))
    }

    /// A query of the ids of those of the tenant's stored rows that may meet the criterion.
    pub(super) fn ids(&self, tenant: &Tenant) -> Option<SelectStatement> {
        match &self.path {
            Path::Equal(_) | Path::Column(_) => {
                let rows = stored::<E>(tenant).filter(self.condition.clone());
                Some(rows.select_only().column(E::ID).into_query())
            }
            Path::Ids(ids) => Some(ids.as_ref().clone()),
            Path::None => None,
        }
    }
}

/// The tenant's rows as they are stored: what is deleted is left out later, by the same statement.
#[expect(
    clippy::disallowed_methods,
    reason = "a criterion is one of the conditions of a list, whose rows are those that are shown"
)]
pub(in crate::database) fn stored<E: Listed>(tenant: &Tenant) -> sea_orm::Select<E> {
    E::stored_of(tenant)
}

/// Whether a row's id is among those of a query, which is to be asked first.
pub(in crate::database) fn is_among<E: Listed>(backend: DbBackend, ids: SelectStatement) -> SimpleExpr {
    let id = Expr::col((E::default(), E::ID));
    match backend {
        // As an array, the ids are looked up one by one, whatever the planner takes for their number.
        DbBackend::Postgres => Expr::cust_with_exprs("$1 = ANY (ARRAY($2))", [id, Expr::from(ids)]),
        _ => id.in_subquery(ids),
    }
}
