//! Contract types of events.

use std::borrow::Cow;

use poem_openapi::{
    Enum, Object,
    registry::{MetaSchema, MetaSchemaRef, Registry},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{cursor::Cursor, entity::Model};
use crate::{
    error::{Error, Result},
    values::{
        ContractValue, Id, Nullable, Shown, Tenant, Timestamp, Violation, contract_type, number,
        query::{IntegerRange, QueryValue},
        shown::{FieldName, TraceId},
    },
};

/// A domain event.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The event's id; it stays the same if the event is delivered twice.
    pub event_id: Id,
    /// What happened.
    pub event_type: EventType,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The service that the event comes from.
    pub source: EventSource,
    /// The trace of the request that caused it (W3C Trace Context).
    pub trace_id: Shown<TraceId>,
    /// The payload.
    pub data: EventData,
}

/// The service that an event comes from. New values may be added: nothing depends on it.
#[derive(Debug, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum EventSource {
    /// This service.
    Crm,
}

/// The payload of an event.
#[derive(Debug, Object, Serialize, Deserialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct EventData {
    /// The tenant that the resource belongs to.
    pub tenant_id: Tenant,
    /// The event's sequence number within the resource, starting at 1.
    pub version: Version,
    /// The fields that changed.
    #[oai(validator(max_items = 100))]
    pub changed_fields: Vec<Shown<FieldName>>,
    /// The resource after the event, or before it if it was deleted: as the API shows it, with personal data masked.
    pub resource: EventResource,
}

/// A page of the feed.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct EventList {
    /// The events, oldest first; empty if there are none yet.
    #[oai(validator(max_items = 1000))]
    pub data: Vec<Event>,
    /// Events before `cursor` that are damaged in the service's database and cannot be shown; nearly always empty. Read
    /// the resource of each again.
    #[oai(validator(max_items = 1000))]
    pub gaps: Vec<EventGap>,
    /// The reader's new position, to be sent as `after` in the next request. Opaque.
    pub cursor: Cursor,
}

/// An event that cannot be shown, because it is damaged.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct EventGap {
    /// The event's id, if that is readable.
    pub event_id: Nullable<Id>,
    /// The id of the resource that it is about, if that is readable.
    pub resource_id: Nullable<Id>,
}

impl Event {
    /// Converts a stored event.
    ///
    /// # Errors
    /// Internal, if the stored payload is not valid.
    pub(crate) fn from_row(row: Model) -> Result<Self> {
        let Model {
            seq: _,
            position: _,
            tenant_id,
            event_id,
            event_type,
            aggregate_id: _,
            version: _,
            occurred_at,
            trace_id,
            data,
        } = row;
        let data = serde_json::from_str(&data).map_err(|_| {
            Error::internal(format!("integrity: outbox.data of event {event_id} of tenant {tenant_id}"))
        })?;
        Ok(Self {
            event_id: Id(event_id),
            event_type: EventType(event_type),
            timestamp: Timestamp(occurred_at),
            source: EventSource::Crm,
            trace_id: trace_id.into(),
            data,
        })
    }
}

/// The type of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct EventType(pub String);

impl EventType {
    /// Whether a text has the form of a type: `crm.customer.created`.
    pub(super) fn is_formed(text: &str) -> bool {
        let word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        matches!(text.split('.').collect::<Vec<_>>().as_slice(), ["crm", a, b] if word(a) && word(b))
    }
}

impl ContractValue for EventType {
    fn name() -> Cow<'static, str> {
        "EventType".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(<Self as ContractValue>::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(<Self as ContractValue>::name().into_owned(), |_| MetaSchema {
            description: Some("What happened. New types may be added: ignore one that you do not know."),
            max_length: Some(64),
            pattern: Some(r"^crm\.[a-z]+\.[a-z]+$".to_owned()),
            example: Some("crm.customer.created".into()),
            ..MetaSchema::new("string")
        });
    }

    fn from_value(_: Value) -> std::result::Result<Self, Violation> {
        Err("is only ever answered".into())
    }
}

contract_type!(EventType);

/// The sequence number of an event within its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Version(pub i64);

impl ContractValue for Version {
    fn name() -> Cow<'static, str> {
        "Version".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            minimum: Some(1.0),
            maximum: Some(number::LARGEST as f64),
            example: Some(Value::from(1)),
            ..MetaSchema::new_with_format("integer", "int64")
        }))
    }

    fn from_value(value: Value) -> std::result::Result<Self, Violation> {
        value.as_i64().map(Self).ok_or(Cow::Borrowed("must be a whole number"))
    }
}

contract_type!(Version);

/// The resource in an event. The event's type says of which type it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct EventResource(Map<String, Value>);

impl ContractValue for EventResource {
    fn name() -> Cow<'static, str> {
        "EventResource".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(<Self as ContractValue>::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(<Self as ContractValue>::name().into_owned(), |_| MetaSchema {
            description: Some(
                "The resource that the event's type names, as the API shows it, with personal data masked: a `Customer` \
                 in `crm.customer.created` and all other types that begin so, and likewise for the others. It is the one \
                 of that time: an older event may lack a field that was added since. `/asyncapi.yaml` has a schema for each \
                 type.",
            ),
            additional_properties: Some(Box::new(MetaSchemaRef::Inline(Box::new(MetaSchema::ANY)))),
            ..MetaSchema::new("object")
        });
    }

    fn from_value(value: Value) -> std::result::Result<Self, Violation> {
        match value {
            Value::Object(resource) => Ok(Self(resource)),
            _ => Err("must be an object".into()),
        }
    }
}

contract_type!(EventResource);

/// The `after` parameter.
#[derive(Debug)]
pub struct After;

impl QueryValue for After {
    type Value = Option<Cursor>;

    fn schema() -> MetaSchemaRef {
        Cursor::schema_ref()
    }

    fn read(value: Option<&str>) -> std::result::Result<Option<Cursor>, Violation> {
        value.map(|text| Cursor::from_value(text.into())).transpose()
    }
}

/// The `types` parameter: event types, separated by commas.
#[derive(Debug)]
pub struct Types;

impl Types {
    /// How many types may be asked for at once.
    const MAX: usize = 20;
    /// The most characters that they may have together.
    const LONGEST: usize = 1024;
}

impl QueryValue for Types {
    type Value = Option<Vec<String>>;

    fn schema() -> MetaSchemaRef {
        let further = Self::MAX - 1;
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            max_length: Some(Self::LONGEST),
            pattern: Some(format!(r"^crm\.[a-z]+\.[a-z]+(,crm\.[a-z]+\.[a-z]+){{0,{further}}}$")),
            example: Some("crm.opportunity.closed,crm.opportunity.reopened".into()),
            ..MetaSchema::new("string")
        }))
    }

    fn read(value: Option<&str>) -> std::result::Result<Option<Vec<String>>, Violation> {
        let Some(text) = value else { return Ok(None) };
        if text.split(',').nth(Self::MAX).is_some() || text.len() > Self::LONGEST {
            return Err(format!("must be at most {} types", Self::MAX).into());
        }
        let mut types: Vec<String> = text.split(',').map(str::to_owned).collect();
        if !types.iter().all(|one| EventType::is_formed(one)) {
            return Err("must be types of events, separated by commas, like crm.customer.created".into());
        }
        types.sort_unstable();
        types.dedup();
        Ok(Some(types))
    }
}

/// The `limit` parameter.
#[derive(Debug)]
pub struct Limit;

impl Limit {
    const RANGE: IntegerRange = IntegerRange { default: 100, min: 1, max: 1000, format: "int32" };
}

impl QueryValue for Limit {
    type Value = u64;

    fn schema() -> MetaSchemaRef {
        Self::RANGE.schema()
    }

    fn read(value: Option<&str>) -> std::result::Result<u64, Violation> {
        Self::RANGE.read(value)
    }
}

/// The `wait` parameter, in seconds.
#[derive(Debug)]
pub struct Wait;

impl Wait {
    const RANGE: IntegerRange = IntegerRange { default: 0, min: 0, max: 30, format: "int32" };
}

impl QueryValue for Wait {
    type Value = u64;

    fn schema() -> MetaSchemaRef {
        Self::RANGE.schema()
    }

    fn read(value: Option<&str>) -> std::result::Result<u64, Violation> {
        Self::RANGE.read(value)
    }
}
