//! Personal data: phone numbers and e-mail addresses have types of their own.
//!
//! - [`Phone`] and [`Email`] come in with a request. Their `Debug` and `Serialize` mask; only [`Pii::into_stored`] gives
//!   the value on, to be stored.
//! - [`Stored`] is what a row holds.
//! - [`Shown`] goes out with a reply: in clear or masked, by the caller's [`Sight`].
//!
//! [`mask`] says what is left visible.

pub mod mask;

use std::{borrow::Cow, fmt};

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use sea_orm::DeriveValueType;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::values::{ContractValue, Flaw, Nullable, Text, TextRule, contract_type};

/// How a caller sees personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// As it is.
    Clear,
    /// With most of it replaced by stars.
    Masked,
}

/// A kind of personal data.
pub trait PiiRule: TextRule {
    /// The value with most of it replaced by stars.
    fn mask(clear: &str) -> String;
}

/// Personal data of the kind `R`, from a request.
#[derive(Clone, PartialEq, Eq)]
pub struct Pii<R>(Text<R>);

/// A telephone number.
pub type Phone = Pii<PhoneRule>;
/// An e-mail address.
pub type Email = Pii<EmailRule>;

impl<R: PiiRule> Pii<R> {
    /// The value in the form that is stored.
    #[must_use]
    pub fn into_stored(self) -> Stored {
        Stored(self.0.into_string())
    }
}

impl<R: PiiRule> ContractValue for Pii<R> {
    fn name() -> Cow<'static, str> {
        R::NAME.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        Text::<R>::schema_ref()
    }

    fn from_value(value: Value) -> Result<Self, Flaw> {
        Text::from_value(value).map(Self)
    }
}

impl<R: PiiRule> Serialize for Pii<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&R::mask(self.0.as_str()))
    }
}

impl<R: PiiRule> fmt::Debug for Pii<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&R::mask(self.0.as_str()))
    }
}

contract_type!(Pii<R>, R: PiiRule);

/// Personal data as a row holds it.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct Stored(String);

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Personal data of the kind `R` in a reply.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown<R> {
    text: String,
    kind: std::marker::PhantomData<R>,
}

impl<R: PiiRule> Shown<R> {
    /// Shows what is stored to a caller with this sight.
    #[must_use]
    pub fn to(sight: Sight, stored: Option<Stored>) -> Nullable<Self> {
        Nullable(stored.map(|Stored(clear)| {
            let text = match sight {
                Sight::Clear => clear,
                Sight::Masked => R::mask(&clear),
            };
            Self { text, kind: std::marker::PhantomData }
        }))
    }
}

impl<R: PiiRule> fmt::Debug for Shown<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<R: PiiRule> Serialize for Shown<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<R: PiiRule> ContractValue for Shown<R> {
    fn name() -> Cow<'static, str> {
        R::NAME.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            example: Some(Value::from(R::mask(R::EXAMPLE))),
            ..MetaSchema::new("string")
        }))
    }

    fn from_value(_: Value) -> Result<Self, Flaw> {
        Err("is only ever answered".into())
    }
}

contract_type!(Shown<R>, R: PiiRule);

/// The rule of [`Phone`].
#[derive(Clone, PartialEq, Eq)]
pub struct PhoneRule;

impl TextRule for PhoneRule {
    const NAME: &'static str = "Phone";
    const MIN: usize = 3;
    const MAX: usize = 32;
    const PATTERN: &'static str = "^[0-9+().#ext-][0-9 +().#ext-]*[0-9+().#ext-]$";
    const EXPECTED: &'static str = "must be a phone number: 3 to 32 of digits, space, + - ( ) . # ext x";
    const EXAMPLE: &'static str = "13812345678";

    fn accepts(text: &str) -> bool {
        text.bytes().all(|byte| byte.is_ascii_digit() || b" +-().#ext".contains(&byte))
    }
}

impl PiiRule for PhoneRule {
    fn mask(clear: &str) -> String {
        mask::phone(clear)
    }
}

/// The rule of [`Email`].
#[derive(Clone, PartialEq, Eq)]
pub struct EmailRule;

impl TextRule for EmailRule {
    const NAME: &'static str = "Email";
    const MIN: usize = 5;
    const MAX: usize = 254;
    const PATTERN: &'static str = concat!(
        r"^[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000@*]+",
        r"@[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000@*.]+",
        r"(\.[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000@*.]+)+$"
    );
    const EXPECTED: &'static str = "must be an e-mail address of at most 254 characters";
    const EXAMPLE: &'static str = "li.lei@example.com";

    fn accepts(text: &str) -> bool {
        let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '*' && c != '@';
        text.split_once('@').is_some_and(|(mailbox, domain)| {
            !mailbox.is_empty()
                && mailbox.chars().all(plain)
                && domain.chars().all(plain)
                && domain.contains('.')
                && domain.split('.').all(|label| !label.is_empty())
        })
    }
}

impl PiiRule for EmailRule {
    fn mask(clear: &str) -> String {
        mask::email(clear)
    }
}
