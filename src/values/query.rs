//! The values of query parameters.

use chrono::{DateTime, Utc};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use uuid::Uuid;

use super::{ContractValue, Id, Timestamp, Violation};

/// What a query parameter accepts.
pub trait QueryValue {
    /// What is read from it.
    type Value: Send;

    /// The schema of the parameter.
    fn schema() -> MetaSchemaRef;

    /// Reads the parameter, or takes its default where it was not sent.
    ///
    /// # Errors
    /// The rule that the value breaks.
    fn read(value: Option<&str>) -> Result<Self::Value, Violation>;
}

/// What a parameter that is a whole number accepts.
pub struct IntegerRange {
    /// Its value where it is not sent.
    pub default: u64,
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
    /// Its format in the contract.
    pub format: &'static str,
}

impl IntegerRange {
    /// The schema of the parameter.
    #[must_use]
    pub fn schema(&self) -> MetaSchemaRef {
        inline(MetaSchema {
            minimum: Some(self.min as f64),
            maximum: Some(self.max as f64),
            default: Some(self.default.into()),
            ..MetaSchema::new_with_format("integer", self.format)
        })
    }

    /// Reads the parameter.
    ///
    /// # Errors
    /// The range, where the value is outside it or no whole number.
    pub fn read(&self, value: Option<&str>) -> Result<u64, Violation> {
        let Some(text) = value else { return Ok(self.default) };
        // `parse` would take a sign, too.
        let number = if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None };
        number
            .filter(|number| (self.min..=self.max).contains(number))
            .ok_or_else(|| format!("must be a whole number from {} to {}", self.min, self.max).into())
    }
}

/// A filter by the id of another resource. Any text will do: one that is no id of the tenant's finds nothing.
#[derive(Debug)]
pub struct IdFilter;

impl QueryValue for IdFilter {
    type Value = Option<Uuid>;

    fn schema() -> MetaSchemaRef {
        inline(MetaSchema { example: Some(Id::EXAMPLE.into()), ..MetaSchema::new("string") })
    }

    fn read(value: Option<&str>) -> Result<Option<Uuid>, Violation> {
        Ok(value.map(Id::parse_or_nil))
    }
}

/// A filter by a text that must be equal.
#[derive(Debug)]
pub struct TextFilter;

impl QueryValue for TextFilter {
    type Value = Option<String>;

    fn schema() -> MetaSchemaRef {
        inline(MetaSchema::new("string"))
    }

    /// No stored text has a control character, and PostgreSQL refuses to look for a NUL.
    fn read(value: Option<&str>) -> Result<Option<String>, Violation> {
        Ok(value.map(|text| text.replace('\0', "\u{fffd}")))
    }
}

/// A filter by an instant.
#[derive(Debug)]
pub struct InstantFilter;

impl QueryValue for InstantFilter {
    type Value = Option<DateTime<Utc>>;

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
