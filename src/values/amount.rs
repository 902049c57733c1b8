//! Amounts of money.

use std::borrow::Cow;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde::Serialize;
use serde_json::Value;

use super::{ContractValue, Violation, contract_type, number::LARGEST};

/// An amount in the currency's minor unit, from 0 to [`LARGEST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct AmountCents(pub i64);

impl AmountCents {
    const MAX: i64 = LARGEST;
}

impl ContractValue for AmountCents {
    const WHOLE_NUMBER: bool = true;

    fn name() -> Cow<'static, str> {
        "AmountCents".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            minimum: Some(0.0),
            maximum: Some(Self::MAX as f64),
            example: Some(Value::from(1_250_000)),
            ..MetaSchema::new_with_format("integer", "int64")
        }))
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        value
            .as_i64()
            .filter(|amount| (0..=Self::MAX).contains(amount))
            .map(Self)
            .ok_or(Cow::Borrowed("must be a whole number from 0 to 9007199254740991"))
    }
}

contract_type!(AmountCents);
