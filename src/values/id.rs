//! Identifiers of resources: UUIDs of version 7 (RFC 9562), strings in the contract.

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseFromParameter, ParseResult},
};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{ContractValue, Violation, contract_type};

/// The identifier of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Id(pub Uuid);

impl Id {
    /// An id for the contract's examples.
    pub const EXAMPLE: &str = "019aa5c8-7d40-7c1e-b3a2-5f0e6d1c2b3a";

    /// The id in a text; of a malformed text the nil UUID, which no resource has: a malformed id passes the same checks, in the
    /// same order, to the same answer as an unknown one.
    #[must_use]
    pub fn parse_or_nil(text: &str) -> Uuid {
        Self::parse(text).map_or(Uuid::nil(), |id| id.0)
    }

    /// Reads an id in its one canonical form, `0198c0de-…` in lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let id = Uuid::try_parse(text).ok()?;
        (id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text).then_some(Self(id))
    }
}

impl ContractValue for Id {
    fn name() -> Cow<'static, str> {
        "Id".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            example: Some(Value::from(Self::EXAMPLE)),
            ..MetaSchema::new_with_format("string", "uuid")
        }))
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        value.as_str().and_then(Self::parse).ok_or(Cow::Borrowed("must be the id of an existing resource"))
    }
}

contract_type!(Id);

/// An id in a path, malformed or not: see [`Id::parse_or_nil`].
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

    /// The router has no value where the text in the path is not UTF-8.
    fn parse_from_parameters<I: IntoIterator<Item = A>, A: AsRef<str>>(values: I) -> ParseResult<Self> {
        Self::parse_from_parameter(values.into_iter().next().as_ref().map_or("", AsRef::as_ref))
    }
}
