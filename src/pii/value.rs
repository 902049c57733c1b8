//! Personal data in clear, which everything but [`Pii::reveal`] masks.

use std::{borrow::Cow, fmt, marker::PhantomData};

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::rule::{EmailRule, PhoneRule, PiiRule};
use crate::values::{ContractValue, Text, Violation, contract_type, query::QueryValue};

/// Personal data of the kind `R`, in clear.
#[derive(Clone, PartialEq, Eq)]
pub struct Pii<R>(Text<R>);

/// A telephone number.
pub type Phone = Pii<PhoneRule>;
/// An e-mail address.
pub type Email = Pii<EmailRule>;

impl<R: PiiRule> Pii<R> {
    /// Takes a value that was checked when it was stored.
    pub(super) fn stored(clear: String) -> Self {
        Self(Text::stored(clear))
    }

    /// The value itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.as_str()
    }
}

impl<R: PiiRule> ContractValue for Pii<R> {
    fn name() -> Cow<'static, str> {
        R::NAME.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        Text::<R>::schema_ref()
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        Text::from_value(value).map(Self)
    }
}

impl<R: PiiRule> Serialize for Pii<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&R::mask(self.reveal()))
    }
}

impl<R: PiiRule> fmt::Debug for Pii<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&R::mask(self.reveal()))
    }
}

impl<R: PiiRule> fmt::Display for Pii<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&R::mask(self.reveal()))
    }
}

contract_type!(Pii<R>, R: PiiRule);

/// A filter of a list by personal data, which finds every way of writing the same value. Also one that may be stored no more: the
/// rules of the releases before were others.
pub struct PiiFilter<R>(PhantomData<R>);

/// A filter has neither control characters nor stars.
const SEARCHED: &str = r"^[^\x00-\x1f\x7f*]+$";

impl<R: PiiRule> QueryValue for PiiFilter<R> {
    type Value = Option<Pii<R>>;

    /// In a phone number and an e-mail address it means something.
    const PLUS_IS_LITERAL: bool = true;

    fn is_personal(_value: &str) -> bool {
        true
    }

    fn schema() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            min_length: Some(1),
            max_length: Some(R::MAX),
            pattern: Some(SEARCHED.to_owned()),
            example: Some(Value::from(R::EXAMPLE)),
            ..MetaSchema::new("string")
        }))
    }

    fn read(value: Option<&str>) -> Result<Option<Pii<R>>, Violation> {
        let Some(clean) = value.map(R::clean) else { return Ok(None) };
        if clean.is_empty() || clean.chars().count() > R::MAX || clean.chars().any(char::is_control) {
            return Err(R::EXPECTED.into());
        }
        if R::is_masked(&clean) { Err(R::MASKED.into()) } else { Ok(Some(Pii::stored(clean.into_owned()))) }
    }
}
