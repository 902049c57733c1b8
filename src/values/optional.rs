//! Optional and nullable fields, with absent and `null` kept apart.
//!
//! | type | in a request | in a response |
//! |---|---|---|
//! | `T` | required, not `null` | always present |
//! | [`Field<T>`] | optional, not `null` | |
//! | [`Clearable<T>`] | optional; `null` clears it | |
//! | [`Nullable<T>`] | | always present, may be `null` |

use std::borrow::Cow;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use serde::Serialize;
use serde_json::Value;

use super::{ContractValue, Violation, contract_type};

/// An optional request field that must not be `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Field<T> {
    /// Not in the body: stays unchanged, or gets its default.
    #[default]
    Absent,
    /// In the body.
    Value(T),
}

impl<T> Field<T> {
    /// The value, if present.
    pub fn into_option(self) -> Option<T> {
        match self {
            Self::Absent => None,
            Self::Value(value) => Some(value),
        }
    }
}

impl<T: ContractValue + Send + Sync> ContractValue for Field<T> {
    const REQUIRED: bool = false;
    const WHOLE_NUMBER: bool = T::WHOLE_NUMBER;

    fn name() -> Cow<'static, str> {
        format!("optional {}", T::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        match value {
            Value::Null => Err("must not be null".into()),
            value => T::from_value(value).map(Self::Value),
        }
    }
}

contract_type!(Field<T>, T: ContractValue + Send + Sync + Serialize);

/// An optional request field that `null` clears.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Clearable<T> {
    /// Not in the body: stays unchanged, or is empty in a new resource.
    #[default]
    Absent,
    /// `null`: clears the field.
    Null,
    /// In the body.
    Value(T),
}

impl<T> Clearable<T> {
    /// The value for a new resource, where absent and `null` both mean empty.
    pub fn into_option(self) -> Option<T> {
        match self {
            Self::Absent | Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// Updates the stored value, unless the field is absent.
    pub fn apply<U>(self, stored: &mut Option<U>, convert: impl FnOnce(T) -> U) {
        match self {
            Self::Absent => {}
            Self::Null => *stored = None,
            Self::Value(value) => *stored = Some(convert(value)),
        }
    }
}

/// The schema, with `null` allowed.
fn nullable(schema: MetaSchemaRef) -> MetaSchemaRef {
    schema.merge(MetaSchema { nullable: true, ..MetaSchema::ANY })
}

impl<T: ContractValue + Send + Sync> ContractValue for Clearable<T> {
    const REQUIRED: bool = false;
    const WHOLE_NUMBER: bool = T::WHOLE_NUMBER;

    fn name() -> Cow<'static, str> {
        format!("clearable {}", T::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        nullable(T::schema_ref())
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        match value {
            Value::Null => Ok(Self::Null),
            value => T::from_value(value).map(Self::Value),
        }
    }
}

contract_type!(Clearable<T>, T: ContractValue + Send + Sync + Serialize);

/// A response field that is always present and may be `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Nullable<T>(pub Option<T>);

impl<T: ContractValue + Send + Sync> ContractValue for Nullable<T> {
    const WHOLE_NUMBER: bool = T::WHOLE_NUMBER;

    fn name() -> Cow<'static, str> {
        format!("nullable {}", T::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        nullable(T::schema_ref())
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        match value {
            Value::Null => Ok(Self(None)),
            value => T::from_value(value).map(|value| Self(Some(value))),
        }
    }
}

contract_type!(Nullable<T>, T: ContractValue + Send + Sync + Serialize);
