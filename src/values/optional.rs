//! Fields that may be absent or empty, without the two being confused.
//!
//! | type | in a request | in a reply |
//! |---|---|---|
//! | `T` | must be there, not `null` | always there |
//! | [`Field<T>`] | may be absent, not `null` | |
//! | [`Clearable<T>`] | may be absent; `null` clears | |
//! | [`Nullable<T>`] | | always there, may be `null` |

use std::borrow::Cow;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use serde::Serialize;
use serde_json::Value;

use super::{ContractValue, Violation, contract_type};

/// A field of a request that may be absent but not `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Field<T> {
    /// Not in the body: unchanged, or the default.
    #[default]
    Absent,
    /// In the body.
    Value(T),
}

impl<T> Field<T> {
    /// The value, if the field is there.
    pub fn into_option(self) -> Option<T> {
        match self {
            Self::Absent => None,
            Self::Value(value) => Some(value),
        }
    }
}

impl<T: ContractValue + Send + Sync> ContractValue for Field<T> {
    const REQUIRED: bool = false;

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

/// A field of a request that may be absent, and that `null` clears.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Clearable<T> {
    /// Not in the body: unchanged, or empty in a new resource.
    #[default]
    Absent,
    /// `null`: empty.
    Null,
    /// In the body.
    Value(T),
}

impl<T> Clearable<T> {
    /// The value, where absent and `null` both mean empty: in a new resource.
    pub fn into_option(self) -> Option<T> {
        match self {
            Self::Absent | Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// Changes what is stored, unless the field is absent.
    pub fn apply<U>(self, stored: &mut Option<U>, convert: impl FnOnce(T) -> U) {
        match self {
            Self::Absent => {}
            Self::Null => *stored = None,
            Self::Value(value) => *stored = Some(convert(value)),
        }
    }
}

/// The schema of `T`, with `null` allowed.
fn nullable(schema: MetaSchemaRef) -> MetaSchemaRef {
    schema.merge(MetaSchema { nullable: true, ..MetaSchema::ANY })
}

impl<T: ContractValue + Send + Sync> ContractValue for Clearable<T> {
    const REQUIRED: bool = false;

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

/// A field of a reply that is always there and may be `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Nullable<T>(pub Option<T>);

impl<T: ContractValue + Send + Sync> ContractValue for Nullable<T> {
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
