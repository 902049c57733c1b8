//! An array of PostgreSQL: the values that rows have in one column.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{
    Value,
    sqlx::{Arguments, error::BoxDynError, postgres::PgArguments},
};
use uuid::Uuid;

/// How long the protocol makes an array, and a value in it, besides what it holds.
const OF_ARRAY: usize = 26;
const OF_VALUE: usize = 4;

/// The values of a column.
pub(super) enum Array {
    Bool(Vec<Option<bool>>),
    SmallInt(Vec<Option<i16>>),
    Int(Vec<Option<i32>>),
    BigInt(Vec<Option<i64>>),
    Text(Vec<Option<String>>),
    Uuid(Vec<Option<Uuid>>),
    Instant(Vec<Option<DateTime<Utc>>>),
    Date(Vec<Option<NaiveDate>>),
}

/// Does the same with whatever array it is.
macro_rules! each {
    ($array:expr, $values:ident => $does:expr) => {
        match $array {
            Array::Bool($values) => $does,
            Array::SmallInt($values) => $does,
            Array::Int($values) => $does,
            Array::BigInt($values) => $does,
            Array::Text($values) => $does,
            Array::Uuid($values) => $does,
            Array::Instant($values) => $does,
            Array::Date($values) => $does,
        }
    };
}

impl Array {
    /// An array of one value. `None` where it has a type of which there are none here.
    pub(super) fn of(value: Value) -> Option<Self> {
        Some(match value {
            Value::Bool(value) => Self::Bool(vec![value]),
            Value::SmallInt(value) => Self::SmallInt(vec![value]),
            Value::Int(value) => Self::Int(vec![value]),
            Value::BigInt(value) => Self::BigInt(vec![value]),
            Value::String(value) => Self::Text(vec![value]),
            Value::Uuid(value) => Self::Uuid(vec![value]),
            Value::ChronoDateTimeUtc(value) => Self::Instant(vec![value]),
            Value::ChronoDate(value) => Self::Date(vec![value]),
            _ => return None,
        })
    }

    /// The type of its elements, in PostgreSQL.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::SmallInt(_) => "int2",
            Self::Int(_) => "int4",
            Self::BigInt(_) => "int8",
            Self::Text(_) => "text",
            Self::Uuid(_) => "uuid",
            Self::Instant(_) => "timestamptz",
            Self::Date(_) => "date",
        }
    }

    /// Adds a value, which must be of the same type.
    pub(super) fn push(&mut self, value: Value) -> Option<()> {
        self.append(Self::of(value)?)
    }

    /// Adds the values of another one, of the same type.
    pub(super) fn append(&mut self, more: Self) -> Option<()> {
        match (self, more) {
            (Self::Bool(values), Self::Bool(more)) => values.extend(more),
            (Self::SmallInt(values), Self::SmallInt(more)) => values.extend(more),
            (Self::Int(values), Self::Int(more)) => values.extend(more),
            (Self::BigInt(values), Self::BigInt(more)) => values.extend(more),
            (Self::Text(values), Self::Text(more)) => values.extend(more),
            (Self::Uuid(values), Self::Uuid(more)) => values.extend(more),
            (Self::Instant(values), Self::Instant(more)) => values.extend(more),
            (Self::Date(values), Self::Date(more)) => values.extend(more),
            _ => return None,
        }
        Some(())
    }

    /// How many values it has.
    pub(super) fn len(&self) -> i64 {
        i64::try_from(each!(self, values => values.len())).unwrap_or(i64::MAX)
    }

    /// How long it makes a message, in bytes.
    pub(super) fn bytes(&self) -> usize {
        fn of<T>(values: &[Option<T>], length: impl Fn(&T) -> usize) -> usize {
            values.iter().map(|value| OF_VALUE + value.as_ref().map_or(0, &length)).sum()
        }
        let values = match self {
            Self::Bool(values) => of(values, |_| 1),
            Self::SmallInt(values) => of(values, |_| 2),
            Self::Int(values) => of(values, |_| 4),
            Self::BigInt(values) => of(values, |_| 8),
            Self::Text(values) => of(values, String::len),
            Self::Uuid(values) => of(values, |_| 16),
            Self::Instant(values) => of(values, |_| 8),
            Self::Date(values) => of(values, |_| 4),
        };
        OF_ARRAY + values
    }

    /// Binds it as the next argument of a statement.
    pub(super) fn bind(self, arguments: &mut PgArguments) -> Result<(), BoxDynError> {
        each!(self, values => arguments.add(values))
    }
}
