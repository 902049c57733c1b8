//! A place in a list: the values that a row was sorted by.

use chrono::DateTime;
use sea_orm::Value;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};

/// The place of a row in a list of a certain order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position(Vec<SortValue>);

/// A value that rows are sorted by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum SortValue {
    #[serde(rename = "s")]
    Text(String),
    #[serde(rename = "i")]
    Integer(i32),
    #[serde(rename = "l")]
    Long(i64),
    #[serde(rename = "b")]
    Boolean(bool),
    /// In microseconds.
    #[serde(rename = "t")]
    Instant(i64),
    #[serde(rename = "u")]
    Id(Uuid),
    #[serde(rename = "n")]
    Null,
}

impl SortValue {
    fn new(value: Value) -> Self {
        match value {
            Value::String(Some(text)) => Self::Text(text),
            Value::Int(Some(number)) => Self::Integer(number),
            Value::BigInt(Some(number)) => Self::Long(number),
            Value::Bool(Some(value)) => Self::Boolean(value),
            Value::ChronoDateTimeUtc(Some(instant)) => Self::Instant(instant.timestamp_micros()),
            Value::Uuid(Some(id)) => Self::Id(id),
            _ => Self::Null,
        }
    }

    fn value(&self) -> Result<Value> {
        Ok(match self {
            Self::Text(text) => text.clone().into(),
            Self::Integer(number) => (*number).into(),
            Self::Long(number) => (*number).into(),
            Self::Boolean(value) => (*value).into(),
            Self::Instant(micros) => DateTime::from_timestamp_micros(*micros).ok_or_else(wrong)?.into(),
            Self::Id(id) => (*id).into(),
            Self::Null => return Err(wrong()),
        })
    }
}

impl Position {
    /// The place of a row with these values.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = Value>) -> Self {
        Self(values.into_iter().map(SortValue::new).collect())
    }

    /// Its values, of which there must be so many.
    ///
    /// # Errors
    /// Internal, if it is the place of a row in another list.
    pub fn values(&self, count: usize) -> Result<Vec<Value>> {
        if self.0.len() != count {
            return Err(wrong());
        }
        self.0.iter().map(SortValue::value).collect()
    }
}

fn wrong() -> Error {
    Error::internal("a position in a list of another order")
}
