//! In which order a list is read, and where in it.

use std::fmt;

use sea_orm::{
    IdenStatic, ModelTrait, Order as SqlOrder, Value,
    sea_query::{Expr, ExprTrait, SimpleExpr},
};

use super::position::Position;
use crate::{
    database::tenancy::{Listed, SortKey},
    error::Result,
};

/// Up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The smallest first.
    Ascending,
    /// The largest first.
    Descending,
}

impl Direction {
    pub(super) fn reversed(self) -> Self {
        match self {
            Self::Ascending => Self::Descending,
            Self::Descending => Self::Ascending,
        }
    }
}

impl From<Direction> for SqlOrder {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Ascending => Self::Asc,
            Direction::Descending => Self::Desc,
        }
    }
}

/// The order of a list: a total one, so that no row is skipped or doubled. Rows that are equal in all keys are ordered by their
/// time of creation and their ids, in the direction of the last key.
#[derive(Debug, Clone)]
pub struct Order<E: Listed>(Vec<Key<E>>);

/// A column of the order.
pub(super) struct Key<E: Listed> {
    pub column: E::Column,
    pub direction: Direction,
    pub values: &'static [i32],
    /// The value of the row after which the list is to be read on.
    pub after: Option<Value>,
}

impl<E: Listed> Clone for Key<E> {
    fn clone(&self) -> Self {
        Self { column: self.column, direction: self.direction, values: self.values, after: self.after.clone() }
    }
}

impl<E: Listed> fmt::Debug for Key<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.column.as_str(), self.direction)
    }
}

impl<E: Listed> Default for Order<E> {
    fn default() -> Self {
        Self::by([])
    }
}

impl<E: Listed> Order<E> {
    /// The order by these keys, of which none is named twice; newest first without any.
    #[must_use]
    pub fn by(keys: impl IntoIterator<Item = (&'static SortKey<E::Column>, Direction)>) -> Self {
        let key = |column, values, direction| Key { column, direction, values, after: None };
        let mut order: Vec<Key<E>> =
            keys.into_iter().map(|(by, direction)| key(by.column, by.values, direction)).collect();
        let last = order.last().map_or(Direction::Descending, |key| key.direction);
        if !order.iter().any(|key| is_same(key.column, E::CREATED)) {
            order.push(key(E::CREATED, &[], last));
        }
        order.push(key(E::ID, &[], last));
        Self(order)
    }

    /// Its keys, behind this position if there is one.
    ///
    /// # Errors
    /// Internal, if the position is one of another order.
    pub(super) fn after(&self, position: Option<&Position>) -> Result<Vec<Key<E>>> {
        let mut keys = self.0.clone();
        if let Some(position) = position {
            for (key, value) in keys.iter_mut().zip(position.values(self.0.len())?) {
                key.after = Some(value);
            }
        }
        Ok(keys)
    }

    /// The place of a row.
    pub(super) fn position(&self, row: &E::Model) -> Position {
        self.position_with(row, &[])
    }

    /// The place of a row, but for the columns that are held.
    pub(super) fn position_with(&self, row: &E::Model, held: &[(&'static str, Value)]) -> Position {
        let value = |column: E::Column| match held.iter().find(|(name, _)| *name == column.as_str()) {
            Some((_, value)) => value.clone(),
            None => row.get(column),
        };
        Position::new(self.0.iter().map(|key| value(key.column)))
    }
}

pub(super) fn is_same<C: IdenStatic>(one: C, other: C) -> bool {
    one.as_str() == other.as_str()
}

/// Whether an index over tenant, the first column, the time of creation and the id has this order, upwards or downwards.
pub(super) fn is_of_an_index<E: Listed>(keys: &[Key<E>]) -> bool {
    let rest = match keys.split_first() {
        Some((first, rest)) if !is_same(first.column, E::CREATED) => rest,
        _ => keys,
    };
    rest.len() == 2 && keys.iter().all(|key| Some(key.direction) == keys.first().map(|key| key.direction))
}

/// The rows behind the position that the keys hold; none if they hold none.
pub(super) fn behind<E: Listed>(keys: &[Key<E>]) -> Option<SimpleExpr> {
    let (first, rest) = keys.split_first()?;
    let after = first.after.clone()?;
    let is_uniform = keys.iter().all(|key| key.direction == first.direction);
    if is_uniform {
        // One range of an index.
        let columns = Expr::tuple(keys.iter().map(|key| column::<E>(key.column)));
        let values = Expr::tuple(keys.iter().filter_map(|key| key.after.clone()).map(Expr::val));
        return Some(compare(columns, first.direction, values));
    }
    let beyond = compare(column::<E>(first.column), first.direction, Expr::val(after.clone()));
    let Some(rest) = behind(rest) else { return Some(beyond) };
    let here = column::<E>(first.column).eq(after.clone());
    Some(not_before(first)?.and(beyond.or(here.and(rest))))
}

/// The rows whose first key is not before that of the position.
pub(super) fn not_before<E: Listed>(first: &Key<E>) -> Option<SimpleExpr> {
    let after = first.after.clone()?;
    let column = column::<E>(first.column);
    Some(match first.direction {
        Direction::Ascending => column.gte(after),
        Direction::Descending => column.lte(after),
    })
}

/// What comes behind `value`.
pub(super) fn compare(expr: SimpleExpr, direction: Direction, value: SimpleExpr) -> SimpleExpr {
    match direction {
        Direction::Ascending => expr.gt(value),
        Direction::Descending => expr.lt(value),
    }
}

pub(super) fn column<E: Listed>(column: E::Column) -> SimpleExpr {
    Expr::col((E::default(), column))
}
