//! Timestamps: RFC 3339 in UTC, with milliseconds and `Z`.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{ContractValue, Violation, contract_type};

/// Maximum length of a timestamp, in characters: RFC 3339 has no bound for the digits of a second.
const MAX_LENGTH: usize = 64;

/// A UTC timestamp with millisecond precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub DateTime<Utc>);

impl Timestamp {
    /// Truncates to milliseconds, so that stored, compared and returned values are equal.
    #[must_use]
    pub fn new(instant: DateTime<Utc>) -> Self {
        Self(instant.trunc_subsecs(3))
    }
}

impl ContractValue for Timestamp {
    fn name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            max_length: Some(MAX_LENGTH),
            example: Some(Value::from("2026-01-31T09:30:00.125Z")),
            ..MetaSchema::new_with_format("string", "date-time")
        }))
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        value
            .as_str()
            .filter(|text| text.len() <= MAX_LENGTH)
            .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
            .map(|instant| Self::new(instant.to_utc()))
            .ok_or(Cow::Borrowed("must be an RFC 3339 timestamp"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

contract_type!(Timestamp);
