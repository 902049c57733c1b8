//! Enums represented as integers in the contract, each with a named schema.

use std::fmt::Debug;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use serde_json::Value;

use super::Violation;

/// An enum represented as an integer in the contract.
pub trait IntegerEnum: Copy + Send + Sync + 'static {
    /// The schema's name.
    const NAME: &'static str;
    /// The schema's description, which says what each value means.
    const DESCRIPTION: &'static str;
    /// All values, ordered by code.
    const ALL: &'static [Self];

    /// The value's integer.
    fn code(self) -> i32;

    /// What the value means, in a few words.
    fn meaning(self) -> &'static str;
}

/// Names for the values of an integer enum, for client generators.
#[derive(Debug, Clone)]
pub struct ValueNames {
    /// The schema's name.
    pub schema: &'static str,
    /// The name of each value in upper case, ordered by code.
    pub names: Vec<String>,
    /// What each value means.
    pub meanings: Vec<&'static str>,
}

/// The names of the values of `C`.
#[must_use]
pub fn names<C: IntegerEnum + Debug>() -> ValueNames {
    ValueNames {
        schema: C::NAME,
        names: C::ALL.iter().map(|value| format!("{value:?}").to_uppercase()).collect(),
        meanings: C::ALL.iter().map(|value| value.meaning()).collect(),
    }
}

/// A reference to the schema of `C`.
#[must_use]
pub fn schema_ref<C: IntegerEnum>() -> MetaSchemaRef {
    MetaSchemaRef::Reference(C::NAME.to_owned())
}

/// Adds the schema of `C` to the contract.
pub fn register<C: IntegerEnum>(registry: &mut Registry) {
    registry.create_schema::<C, _>(C::NAME.to_owned(), |_| MetaSchema {
        description: Some(C::DESCRIPTION),
        enum_items: C::ALL.iter().map(|value| Value::from(value.code())).collect(),
        example: C::ALL.first().map(|value| Value::from(value.code())),
        ..MetaSchema::new_with_format("integer", "int32")
    });
}

/// Parses a value from its integer.
///
/// # Errors
/// The list of valid integers, if the value is not one of them.
pub fn from_value<C: IntegerEnum>(value: &Value) -> Result<C, Violation> {
    let code = value.as_i64();
    C::ALL.iter().copied().find(|known| Some(i64::from(known.code())) == code).ok_or_else(unknown::<C>)
}

/// Parses a value from its integer in decimal digits.
///
/// # Errors
/// As for [`from_value`].
pub fn from_text<C: IntegerEnum>(text: &str) -> Result<C, Violation> {
    C::ALL.iter().copied().find(|known| known.code().to_string() == text).ok_or_else(unknown::<C>)
}

fn unknown<C: IntegerEnum>() -> Violation {
    let known: Vec<String> = C::ALL.iter().map(|known| known.code().to_string()).collect();
    format!("must be one of {}", known.join(", ")).into()
}

/// Makes an [`IntegerEnum`] a contract type. A macro, because the traits are foreign.
macro_rules! integer_enum {
    ($type:ty) => {
        impl $crate::values::ContractValue for $type {
            const WHOLE_NUMBER: bool = true;

            fn name() -> std::borrow::Cow<'static, str> {
                <$type as $crate::values::integer_enum::IntegerEnum>::NAME.into()
            }

            fn schema_ref() -> poem_openapi::registry::MetaSchemaRef {
                $crate::values::integer_enum::schema_ref::<$type>()
            }

            fn register(registry: &mut poem_openapi::registry::Registry) {
                $crate::values::integer_enum::register::<$type>(registry);
            }

            fn from_value(value: serde_json::Value) -> std::result::Result<Self, $crate::values::Violation> {
                $crate::values::integer_enum::from_value(&value)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_i32($crate::values::integer_enum::IntegerEnum::code(*self))
            }
        }

        $crate::values::contract_type!($type);
    };
}
pub(crate) use integer_enum;
