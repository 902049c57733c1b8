//! Contract types of receipts.

use std::borrow::Cow;

use poem_openapi::{
    Object,
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseFromParameter, ParseResult},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    change,
    error::NamedResource,
    http::{base_path::address, request_id::EXAMPLE},
    resource::Action,
    values::{
        ContractValue, Id, Nullable, Shown, Timestamp, Violation, contract_type,
        query::QueryValue,
        request_id::{EXPECTED, MAX_LENGTH, is_valid},
        shown::{ActionName, Address, RequestIdText, ResourceTypeName},
    },
};

/// What came of an accepted request.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The key of the request: its `Idempotency-Key`, or else its `X-Request-ID`.
    pub request_id: Shown<RequestIdText>,
    /// When the request took effect.
    pub committed_at: Timestamp,
    /// What it did: `created`, `updated` or `erased`; further values may come. A PATCH that was accepted and changed nothing is
    /// `updated` too. `null` if it was accepted by a release that did not record this.
    pub action: Nullable<Shown<ActionName>>,
    /// The resource that it created or changed, which may have been changed or deleted since.
    pub resource: ReceiptResource,
    /// The URL of the resource.
    pub location: Shown<Address>,
}

/// The resource that a request created or changed.
#[derive(Debug, Object, Serialize)]
pub struct ReceiptResource {
    /// The type of resource, for example `customer`; further types may come.
    pub r#type: Shown<ResourceTypeName>,
    /// The resource's id.
    pub id: Id,
}

/// What a request can have done.
#[must_use]
pub fn actions() -> Vec<String> {
    [Action::Created, Action::Updated, Action::Erased].map(|action| action.name().to_owned()).into()
}

impl Receipt {
    pub(super) fn of(receipt: change::Receipt) -> Self {
        let change::Receipt { key, action, committed_at, resource: NamedResource { kind, collection, id } } = receipt;
        Self {
            request_id: key.into(),
            committed_at,
            action: Nullable(action.map(Into::into)),
            resource: ReceiptResource { r#type: kind.into(), id: Id(id) },
            location: address(&collection, id).into(),
        }
    }
}

/// The key in a query.
#[derive(Debug)]
pub struct KeyFilter;

impl QueryValue for KeyFilter {
    type Value = String;

    const PLUS_IS_LITERAL: bool = true;
    const REQUIRED: bool = true;

    fn schema() -> MetaSchemaRef {
        schema()
    }

    fn read(value: Option<&str>) -> Result<String, Violation> {
        let key = value.ok_or(Cow::Borrowed("is required"))?;
        if is_valid(key) { Ok(key.to_owned()) } else { Err(EXPECTED.into()) }
    }
}

/// The key in a path. A malformed one is like one that was never used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PathKey(Option<String>);

impl PathKey {
    /// The key, unless it is malformed.
    #[must_use]
    pub fn key(self) -> Option<String> {
        self.0
    }

    fn read(text: &str) -> Self {
        Self(is_valid(text).then(|| text.to_owned()))
    }
}

impl ContractValue for PathKey {
    fn name() -> Cow<'static, str> {
        "PathKey".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        schema()
    }

    fn from_value(value: Value) -> Result<Self, Violation> {
        Ok(Self::read(value.as_str().unwrap_or_default()))
    }
}

contract_type!(PathKey);

impl ParseFromParameter for PathKey {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Ok(Self::read(value))
    }

    /// The router passes no value if the path segment is not UTF-8.
    fn parse_from_parameters<I: IntoIterator<Item = A>, A: AsRef<str>>(values: I) -> ParseResult<Self> {
        Self::parse_from_parameter(values.into_iter().next().as_ref().map_or("", AsRef::as_ref))
    }
}

fn schema() -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema {
        min_length: Some(1),
        max_length: Some(MAX_LENGTH),
        pattern: Some("^[!-~]+$".to_owned()),
        example: Some(EXAMPLE.into()),
        ..MetaSchema::new("string")
    }))
}
