//! Resource ids: version 7 UUIDs (RFC 9562), strings in the contract.

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseFromParameter, ParseResult},
};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::{Uuid, fmt::Hyphenated};

use super::{ContractValue, Violation, contract_type};

/// When the ids of examples were made, in milliseconds since the epoch.
const EXAMPLES_MADE: u64 = 1_769_851_800_125;

/// A resource id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Id(pub Uuid);

impl Id {
    /// The id used in the contract's examples.
    pub const EXAMPLE: &str = "019aa5c8-7d40-7c1e-b3a2-5f0e6d1c2b3a";

    /// The id used in examples for a resource of this kind: the same each time, and another one for each kind.
    #[must_use]
    pub fn example(kind: &str) -> Uuid {
        let random = Sha256::digest(kind);
        let random = random.first_chunk().copied().unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(EXAMPLES_MADE, &random).into_uuid()
    }

    /// Parses an id. Malformed input becomes the nil UUID, which no resource has, so that it gets the same checks and
    /// the same response as an unknown id.
    #[must_use]
    pub fn parse_or_nil(text: &str) -> Uuid {
        Self::parse(text).map_or(Uuid::nil(), |id| id.0)
    }

    /// Parses an id: hyphenated, in any case. The other forms of a UUID are no ids, and the nil UUID is none either (RFC
    /// 9562, section 5.9).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let id = Uuid::try_parse(text).ok().filter(|id| text.len() == Hyphenated::LENGTH && !id.is_nil())?;
        Some(Self(id))
    }
}

impl ContractValue for Id {
    fn name() -> Cow<'static, str> {
        "Id".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            max_length: Some(Hyphenated::LENGTH),
            example: Some(Value::from(Self::EXAMPLE)),
            ..MetaSchema::new_with_format("string", "uuid")
        }))
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        value.as_str().and_then(Self::parse).ok_or(Cow::Borrowed("must be the id of an existing resource"))
    }
}

contract_type!(Id);

/// An id in a path. A malformed one becomes the nil UUID: see [`Id::parse_or_nil`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PathId(Uuid);

impl PathId {
    /// The id.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl ContractValue for PathId {
    fn name() -> Cow<'static, str> {
        "PathId".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        Id::schema_ref()
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        Ok(Self(Id::parse_or_nil(value.as_str().unwrap_or_default())))
    }
}

contract_type!(PathId);

impl ParseFromParameter for PathId {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Ok(Self(Id::parse_or_nil(value)))
    }

    /// The router passes no value if the path segment is not UTF-8.
    fn parse_from_parameters<I: IntoIterator<Item = A>, A: AsRef<str>>(values: I) -> ParseResult<Self> {
        Self::parse_from_parameter(values.into_iter().next().as_ref().map_or("", AsRef::as_ref))
    }
}
