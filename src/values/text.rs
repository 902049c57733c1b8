//! Strings with a rule: [`Text<R>`] is a string that keeps the rule `R`, trimmed.

use std::{borrow::Cow, fmt, marker::PhantomData};

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{ContractValue, Violation, contract_type};

/// What a string field accepts. Lengths count Unicode characters, after white space around the value is removed.
pub trait TextRule: Send + Sync + 'static {
    /// The name of the type.
    const NAME: &'static str;
    /// The fewest characters.
    const MIN: usize;
    /// The most characters.
    const MAX: usize;
    /// The same rule as [`Self::accepts`] and [`Self::MIN`] as a regular expression of ECMA 262, for the contract.
    /// It describes the trimmed value.
    const PATTERN: &'static str;
    /// The rule in words: "must be …".
    const EXPECTED: &'static str;
    /// A value that keeps the rule.
    const EXAMPLE: &'static str;

    /// Whether a trimmed value of fitting length keeps the rule.
    fn accepts(text: &str) -> bool;
}

/// A line of text: no control characters, no white space around it. Written out, because `\s` differs between engines.
pub const LINE: &str = concat!(
    r"^[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]",
    r"([^\u0000-\u001f\u007f-\u009f]*",
    r"[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000])?$"
);

/// Lines of text: as [`LINE`], with line feed, carriage return and tab allowed inside.
pub const LINES: &str = concat!(
    r"^[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]",
    r"([^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*",
    r"[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000])?$"
);

/// Whether a text keeps [`LINE`].
#[must_use]
pub fn is_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Whether a text keeps [`LINES`].
#[must_use]
pub fn is_lines(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

/// A string that keeps the rule `R`.
#[derive(Clone, PartialEq, Eq)]
pub struct Text<R>(String, PhantomData<R>);

impl<R: TextRule> Text<R> {
    /// Takes a value that was checked when it was stored.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text, PhantomData)
    }

    /// The string, for a look at it.
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
        // What people write about people does not belong in a log.
        write!(f, "{}({} characters)", R::NAME, self.0.chars().count())
    }
}

contract_type!(Text<R>, R: TextRule);

/// The rule of [`Name`].
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
