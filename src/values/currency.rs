//! Currencies: active ISO 4217 codes.

use std::borrow::Cow;

use iso_currency::IntoEnumIterator;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{ContractValue, Violation, contract_type};

/// An ISO 4217 currency. Input must be an active code; a stored code stays readable after it is withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Currency(Cow<'static, str>);

impl Currency {
    /// A code from the database, which was validated when it was written.
    #[must_use]
    pub fn stored(code: String) -> Self {
        Self(code.into())
    }

    /// The three-letter code, in upper case.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0
    }

    /// Every active currency, sorted by code.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let active = iso_currency::Currency::iter().filter(|currency| is_active(*currency));
        let mut codes: Vec<&'static str> = active.map(|currency| currency.code()).collect();
        codes.sort_unstable();
        codes.into_iter().map(|code| Self(code.into())).collect()
    }
}

/// `iso_currency` marks withdrawn codes as superseded, but also VES, which is still active alongside VED. It knows the codes
/// for tests and for no currency too, which no amount has.
fn is_active(currency: iso_currency::Currency) -> bool {
    use iso_currency::Currency::{VES, XTS, XXX};
    match currency {
        VES => true,
        XTS | XXX => false,
        currency => currency.is_superseded().is_none(),
    }
}

impl ContractValue for Currency {
    fn name() -> Cow<'static, str> {
        "Currency".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(Self::name().into_owned(), |_| MetaSchema {
            description: Some(
                "An active ISO 4217 currency code. A new opportunity without one gets the service's default currency \
                 (CNY unless configured otherwise). New values may be added: show one that you do not know as it is.",
            ),
            enum_items: Self::all().into_iter().map(|currency| Value::from(currency.code())).collect(),
            example: Some(Value::from("CNY")),
            ..MetaSchema::new("string")
        });
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        value
            .as_str()
            .and_then(iso_currency::Currency::from_code)
            .filter(|currency| is_active(*currency))
            .map(|currency| Self(currency.code().into()))
            .ok_or(Cow::Borrowed("must be an active ISO 4217 code in capitals, like CNY"))
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

contract_type!(Currency);
