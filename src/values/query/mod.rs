//! Types of query parameters. What is accepted is said twice, as a schema and by a parser; tests compare the two.
//!
//! Here are single values · [`number`] numbers, and what is true or false · [`several`] values separated by commas · [`sort`].

pub mod number;
pub mod several;
pub mod sort;

use chrono::{DateTime, Utc};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use uuid::Uuid;

pub use number::{AmountFilter, BooleanFilter, DaysFilter, IntegerRange, OnSwitch};
pub use several::{CurrencyFilter, EnumFilter, TextsFilter};

use super::{ContractValue, Id, Timestamp, Violation};

/// A type of query parameter.
pub trait QueryValue {
    /// The parsed value.
    type Value: Send;

    /// Whether a `+` that is not percent-encoded is a plus. In others it is a space, as in forms.
    const PLUS_IS_LITERAL: bool = false;
    /// Whether the parameter must be sent.
    const REQUIRED: bool = false;

    /// Whether an answer confirms personal data: only who sees it unmasked may send this value.
    #[must_use]
    fn is_personal(_value: &str) -> bool {
        false
    }

    /// The parameter's schema.
    fn schema() -> MetaSchemaRef;

    /// Parses the parameter; `None`, if it was not sent, yields the default.
    ///
    /// # Errors
    /// The rule that the value violates.
    fn read(value: Option<&str>) -> Result<Self::Value, Violation>;
}

/// No parameter can be longer: neither can the URL.
const LONGEST: usize = 16_384;

/// A filter by another resource's id. Any text is accepted; one that is not an id of the tenant's matches nothing.
#[derive(Debug)]
pub struct IdFilter;

impl QueryValue for IdFilter {
    type Value = Option<Uuid>;

    fn schema() -> MetaSchemaRef {
        inline(MetaSchema { max_length: Some(LONGEST), ..MetaSchema::new("string") })
    }

    fn read(value: Option<&str>) -> Result<Option<Uuid>, Violation> {
        Ok(value.map(Id::parse_or_nil))
    }
}

/// A filter by exact text.
#[derive(Debug)]
pub struct TextFilter;

impl QueryValue for TextFilter {
    type Value = Option<String>;

    fn schema() -> MetaSchemaRef {
        inline(MetaSchema { max_length: Some(LONGEST), ..MetaSchema::new("string") })
    }

    /// PostgreSQL rejects NUL in a parameter. No stored text contains one: replaced, it simply matches nothing.
    fn read(value: Option<&str>) -> Result<Option<String>, Violation> {
        Ok(value.map(|text| text.replace('\0', "\u{fffd}")))
    }
}

/// A filter by time.
#[derive(Debug)]
pub struct InstantFilter;

impl QueryValue for InstantFilter {
    type Value = Option<DateTime<Utc>>;

    /// That of an offset (`+08:00`).
    const PLUS_IS_LITERAL: bool = true;

    fn schema() -> MetaSchemaRef {
        Timestamp::schema_ref()
    }

    fn read(value: Option<&str>) -> Result<Option<DateTime<Utc>>, Violation> {
        value.map(|text| Timestamp::from_value(text.into()).map(|instant| instant.0)).transpose()
    }
}

fn inline(schema: MetaSchema) -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(schema))
}

/// Whether the contract says that a value is accepted.
#[cfg(test)]
fn accepts(schema: &MetaSchemaRef, value: &str) -> bool {
    let MetaSchemaRef::Inline(schema) = schema else { panic!("a schema of its own") };
    let (Some(pattern), Some(longest)) = (&schema.pattern, schema.max_length) else { panic!("a pattern and a length") };
    let Ok(pattern) = regex_automata::meta::Regex::new(pattern) else { panic!("{pattern} is no regular expression") };
    pattern.is_match(value) && value.chars().count() <= longest
}
