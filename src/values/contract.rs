//! The trait behind every type in the API contract.

use std::borrow::Cow;

use poem_openapi::registry::{MetaSchemaRef, Registry};
use serde_json::Value;

/// A validation message that is safe to show to clients: the rule ("must be 1 to 200 characters"), never the value.
pub type Violation = Cow<'static, str>;

/// A type in the API contract: its schema, and how it is parsed from JSON.
pub trait ContractValue: Sized {
    /// Whether a field of this type is `required` in the schema.
    const REQUIRED: bool = true;

    /// Whether it is a whole number. The digits of such a value are read as they were sent: see [`number`](super::number).
    const WHOLE_NUMBER: bool = false;

    /// The type's name, which is also its schema's if that is a named one.
    fn name() -> Cow<'static, str>;

    /// The inline schema, or a reference to the named schema that [`Self::register`] adds.
    fn schema_ref() -> MetaSchemaRef;

    /// Adds the named schemas to the contract.
    fn register(_registry: &mut Registry) {}

    /// Parses the value from JSON.
    ///
    /// # Errors
    /// The rule that the value violates.
    fn from_value(value: Value) -> Result<Self, Violation>;
}

/// Implements poem-openapi's traits and `Deserialize` for a [`ContractValue`] that is `Serialize`. A macro, because the
/// orphan rule forbids a blanket implementation.
macro_rules! contract_type {
    ($type:ty $(, $($generics:tt)*)?) => {
        impl $(<$($generics)*>)? poem_openapi::types::Type for $type {
            const IS_REQUIRED: bool = <$type as $crate::values::ContractValue>::REQUIRED;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> std::borrow::Cow<'static, str> {
                <$type as $crate::values::ContractValue>::name()
            }

            fn schema_ref() -> poem_openapi::registry::MetaSchemaRef {
                <$type as $crate::values::ContractValue>::schema_ref()
            }

            fn register(registry: &mut poem_openapi::registry::Registry) {
                <$type as $crate::values::ContractValue>::register(registry);
            }

            fn as_raw_value(&self) -> Option<&Self::RawValueType> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
                Box::new(self.as_raw_value().into_iter())
            }
        }

        impl $(<$($generics)*>)? poem_openapi::types::ParseFromJSON for $type {
            fn parse_from_json(value: Option<serde_json::Value>) -> poem_openapi::types::ParseResult<Self> {
                <$type as $crate::values::ContractValue>::from_value(value.unwrap_or_default())
                    .map_err(poem_openapi::types::ParseError::custom)
            }
        }

        impl $(<$($generics)*>)? poem_openapi::types::ToJSON for $type {
            fn to_json(&self) -> Option<serde_json::Value> {
                serde_json::to_value(self).ok()
            }
        }

        impl<'de, $($($generics)*)?> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let value = match <$type as $crate::values::ContractValue>::WHOLE_NUMBER {
                    true => $crate::values::number::deserialize(deserializer)?,
                    false => <serde_json::Value as serde::Deserialize>::deserialize(deserializer)?,
                };
                <$type as $crate::values::ContractValue>::from_value(value).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use contract_type;

impl ContractValue for String {
    fn name() -> Cow<'static, str> {
        <String as poem_openapi::types::Type>::name()
    }

    fn schema_ref() -> MetaSchemaRef {
        <String as poem_openapi::types::Type>::schema_ref()
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        match value {
            Value::String(text) => Ok(text),
            _ => Err("must be a string".into()),
        }
    }
}

impl ContractValue for bool {
    fn name() -> Cow<'static, str> {
        <bool as poem_openapi::types::Type>::name()
    }

    fn schema_ref() -> MetaSchemaRef {
        <bool as poem_openapi::types::Type>::schema_ref()
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        value.as_bool().ok_or(Cow::Borrowed("must be true or false"))
    }
}
