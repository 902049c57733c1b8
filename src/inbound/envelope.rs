//! What every event has around its `data`.

use std::borrow::Cow;

use poem_openapi::registry::MetaSchemaRef;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, error::Category, value::RawValue};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::reason::without_values;
use crate::{
    auth::Actor,
    broker::INBOUND,
    change::{EventClaim, Intent},
    error::{Error, Result},
    resource::Kind,
    telemetry::trace,
    values::{
        ContractValue, Id, IdSource, Tenant, Text, TextRule, Timestamp, Violation, contract_type, json, request_id,
        text,
    },
};

/// Maximum size of an event, in bytes.
const LIMIT: usize = 262_144;

/// An event of the platform, whose data is parsed once its type is known.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope {
    pub event_id: EventId,
    pub event_type: String,
    pub timestamp: EventTimestamp,
    #[serde(default)]
    source: Value,
    #[serde(default)]
    trace_id: Option<String>,
    data: Box<RawValue>,
}

impl Envelope {
    /// Parses an event, but not its data.
    pub fn parse(event: &[u8]) -> Result<Self> {
        if event.len() > LIMIT {
            return Err(Error::invalid(format!("the event is larger than {LIMIT} bytes")));
        }
        let event = json::without_mark(event);
        // serde would also read a struct from an array of its fields. What is no JSON at all is found below.
        if event.trim_ascii_start().first().is_some_and(|first| b"[\"-0123456789tfn".contains(first)) {
            return Err(Error::invalid("the event must be a JSON object"));
        }
        parse(event, "")
    }

    /// The same event, which belongs to this trace if it names none.
    pub fn of_trace(mut self, trace: Option<&str>) -> Self {
        let own = self.trace_id.take().filter(|id| trace::is_id(id));
        self.trace_id = own.or_else(|| trace.map(str::to_owned));
        self
    }

    /// Parses the data.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T> {
        if !self.data.get().starts_with('{') {
            return Err(Error::invalid("data: must be a JSON object"));
        }
        parse(self.data.get().as_bytes(), "data")
    }

    /// The system that sent it: the first part of its type, which is always there, and which the broker can hold it to.
    pub fn sender(&self) -> &str {
        self.event_type.split('.').next().unwrap_or_default()
    }

    /// Within whom its id is unique: the system that sent it; where `source` names a part of that, the part, by its hash,
    /// because the text may be of any size and say anything.
    fn id_scope(&self) -> String {
        match self.source.as_str() {
            Some(source) if source != self.sender() => format!("{}/{:.32}", self.sender(), hex(Sha256::digest(source))),
            _ => self.sender().to_owned(),
        }
    }

    /// The hash of type and data, whatever the order of fields and the white space. What is nested too deeply to be put in
    /// order is hashed as it stands.
    fn payload_hash(&self) -> String {
        let canonical = serde_json::from_str(self.data.get()).and_then(|mut data: Value| {
            data.sort_all_objects();
            serde_json::to_string(&data)
        });
        let canonical = canonical.unwrap_or_else(|_| self.data.get().to_owned());
        let hash = Sha256::new().chain_update(&self.event_type).chain_update([0]).chain_update(canonical).finalize();
        hex(hash)
    }

    /// The system that sent the event acts, in this tenant.
    pub fn context(&self, tenant: Tenant, ids: &IdSource) -> MessageContext {
        let trace_id = self.trace_id.clone().filter(|id| trace::is_id(id));
        MessageContext {
            actor: Actor {
                tenant,
                name: self.sender().to_owned(),
                client: None,
                request_id: self.event_id.as_str().to_owned(),
                trace_id: trace_id.unwrap_or_else(|| ids.next().simple().to_string()),
            },
            claim: EventClaim {
                consumer: INBOUND,
                sender: self.id_scope(),
                event_type: self.event_type.clone(),
                payload_hash: self.payload_hash(),
            },
        }
    }
}

fn hex(hash: impl AsRef<[u8]>) -> String {
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The sender, before the target is known.
pub(super) struct MessageContext {
    actor: Actor,
    claim: EventClaim,
}

impl MessageContext {
    /// The intent to change this resource, once for the event's id.
    pub fn intent(self, kind: Kind, id: Uuid) -> Intent {
        Intent::for_event(self.actor, self.claim, kind, id)
    }
}

/// Parses JSON that is the field `parent` of an event, or the event itself.
fn parse<T: DeserializeOwned>(json: &[u8], parent: &str) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = match (parent, error.path().to_string()) {
            ("", path) => path,
            (parent, path) if path == "." => parent.to_owned(),
            (parent, path) if path.starts_with('[') => format!("{parent}{path}"),
            (parent, path) => format!("{parent}.{path}"),
        };
        match error.inner().classify() {
            Category::Data => Error::invalid(without_values(&json::describe(&path, error.inner()))),
            Category::Io | Category::Syntax | Category::Eof => Error::invalid("the event is not valid JSON"),
        }
    })
}

/// The rule of [`EventId`]: that of a request id, which it stands in for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventIdRule;

impl TextRule for EventIdRule {
    const NAME: &'static str = "EventId";
    const MIN: usize = 1;
    const MAX: usize = request_id::MAX_LENGTH;
    const PATTERN: &'static str = "^[\u{21}-\u{7e}]+$";
    const EXPECTED: &'static str = "must be 1 to 128 visible ASCII characters";
    const EXAMPLE: &'static str = Id::EXAMPLE;

    fn check(text: &str) -> text::Verdict {
        if request_id::is_valid(text) { Ok(()) } else { Err(Self::EXPECTED) }
    }
}

/// The id of an event of the platform.
pub type EventId = Text<EventIdRule>;

/// When an event of the platform happened, in the words of its sender, to be quoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct EventTimestamp(String);

impl EventTimestamp {
    /// The sender's words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ContractValue for EventTimestamp {
    fn name() -> Cow<'static, str> {
        "EventTimestamp".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        Timestamp::schema_ref()
    }

    fn from_value(value: Value) -> std::result::Result<Self, Violation> {
        Timestamp::from_value(value.clone())?;
        value.as_str().map(|text| Self(text.to_owned())).ok_or(Cow::Borrowed("must be an RFC 3339 timestamp"))
    }
}

contract_type!(EventTimestamp);
