//! Validated strings: [`Text<R>`] is a trimmed string that satisfies the rule `R`.

use std::{borrow::Cow, fmt, marker::PhantomData};

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{ContractValue, Violation, contract_type};

/// What a string field accepts. Lengths are in Unicode scalar values, after trimming.
pub trait TextRule: Send + Sync + 'static {
    /// The type's name.
    const NAME: &'static str;
    /// Minimum length.
    const MIN: usize;
    /// Maximum length.
    const MAX: usize;
    /// [`Self::MIN`] and [`Self::accepts`] as an ECMA-262 regular expression for the contract. It applies to the
    /// trimmed value.
    const PATTERN: &'static str;
    /// The rule as a message: "must be …".
    const EXPECTED: &'static str;
    /// A valid value.
    const EXAMPLE: &'static str;

    /// Whether a trimmed value of valid length satisfies the rule.
    fn accepts(text: &str) -> bool;
}

/// A single line: no control characters, no leading or trailing white space. Spelled out, because `\s` differs between
/// regex engines.
pub const LINE: &str = concat!(
    r"^[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]",
    r"([^\u0000-\u001f\u007f-\u009f]*",
    r"[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000])?$"
);

/// One or more lines: like [`LINE`], with line feed, carriage return and tab allowed inside.
pub const LINES: &str = concat!(
    r"^[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]",
    r"([^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*",
    r"[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000])?$"
);

/// Whether trimmed, non-empty text matches [`LINE`].
#[must_use]
pub fn is_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Whether trimmed, non-empty text matches [`LINES`].
#[must_use]
pub fn is_lines(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

/// A trimmed string that satisfies the rule `R`.
#[derive(Clone, PartialEq, Eq)]
pub struct Text<R>(String, PhantomData<R>);

impl<R: TextRule> Text<R> {
    /// A value from the database, which was validated when it was written.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text, PhantomData)
    }

    /// The string, borrowed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The string.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl<R: TextRule> ContractValue for Text<R> {
    fn name() -> Cow<'static, str> {
        R::NAME.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            min_length: Some(R::MIN),
            max_length: Some(R::MAX),
            pattern: Some(R::PATTERN.to_owned()),
            example: Some(Value::from(R::EXAMPLE)),
            ..MetaSchema::new("string")
        }))
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        let Value::String(text) = value else {
            return Err("must be a string".into());
        };
        let trimmed = text.trim();
        let length = trimmed.chars().count();
        if length < R::MIN || length > R::MAX || !R::accepts(trimmed) {
            return Err(R::EXPECTED.into());
        }
        Ok(Self::stored(if trimmed.len() == text.len() { text } else { trimmed.to_owned() }))
    }
}

impl<R: TextRule> Serialize for Text<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<R: TextRule> fmt::Debug for Text<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names and notes are personal data: keep them out of logs.
        write!(f, "{}({} characters)", R::NAME, self.0.chars().count())
    }
}

contract_type!(Text<R>, R: TextRule);

/// The rule for [`Name`].
#[derive(Clone, PartialEq, Eq)]
pub struct NameRule;

impl TextRule for NameRule {
    const NAME: &'static str = "Name";
    const MIN: usize = 1;
    const MAX: usize = 200;
    const PATTERN: &'static str = LINE;
    const EXPECTED: &'static str = "must be 1 to 200 characters without control characters";
    const EXAMPLE: &'static str = "Acme Trading Ltd";

    fn accepts(text: &str) -> bool {
        is_line(text)
    }
}

/// The name of a customer or a person.
pub type Name = Text<NameRule>;
