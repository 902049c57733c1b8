//! The AsyncAPI 3 document of the events: emitted from the types that make them, the bytes of `openapi/events.yaml`.
//!
//! Schemas of resources are those of the API's contract, said in JSON Schema. Nothing repairs the document afterwards.

use poem_openapi::types::Type;
use serde_json::{Map, Value, json};

use super::event::{Action, Evented};
use crate::{contacts, customers, follow_ups, http::contract::Contract, kind::Kind, opportunities};

/// The version of the events, which is not that of the program: see `openapi/README.md` for what raises it.
pub const VERSION: &str = "1.0.0";

/// Where events are published.
pub const CHANNEL: &str = "crm.events";

/// A resource whose events are told.
struct Told {
    kind: Kind,
    actions: &'static [Action],
    schema: String,
}

fn told<E: Evented<Shown: Type>>() -> Told {
    Told { kind: E::KIND, actions: E::ACTIONS, schema: <E::Shown as Type>::name().into_owned() }
}

fn all() -> [Told; 4] {
    [
        told::<customers::Entity>(),
        told::<contacts::Entity>(),
        told::<opportunities::Entity>(),
        told::<follow_ups::Entity>(),
    ]
}

/// The document. Needs no environment.
#[must_use]
pub fn document() -> Value {
    let contract = Contract::new();
    let (mut messages, mut schemas) = (Map::new(), Map::new());
    for Told { kind, actions, schema } in all() {
        take_schema(&contract, &schema, &mut schemas);
        for action in actions {
            let event_type = action.event_type(kind);
            let summary = format!("The {} was {}.", kind.name, past(*action));
            messages.insert(event_type.clone(), message(&event_type, &summary));
            schemas.insert(event_type.clone(), envelope(&event_type, &summary, &schema));
        }
    }
    schemas.sort_keys();
    let reference = |of: &str, name: &String| json!({ "$ref": format!("#/{of}/{name}") });
    let in_channel: Map<String, Value> =
        messages.keys().map(|name| (name.clone(), reference("components/messages", name))).collect();
    let sent: Vec<Value> = messages.keys().map(|name| reference("channels/events/messages", name)).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "CRM cell events",
            "version": VERSION,
            "description": "What happens to customers, contacts, opportunities and follow-ups. Each event is kept with the \
                change it tells of, or neither is. Events of one resource come in the order of `data.version`; an event \
                may come more than once, with the same `eventId`. They are read over HTTP at `GET /events` of the API. \
                Within a major version events only gain fields: readers ignore those they do not know.",
            "license": { "name": "MIT", "url": "https://opensource.org/license/mit" },
        },
        "defaultContentType": "application/json",
        "channels": {
            "events": { "address": CHANNEL, "description": "All events of the cell.", "messages": in_channel },
        },
        "operations": {
            "tellEvents": {
                "action": "send",
                "channel": { "$ref": "#/channels/events" },
                "summary": "The cell tells what happened.",
                "messages": sent,
            },
        },
        "components": { "messages": messages, "schemas": schemas },
    })
}

/// The document as YAML: the bytes of `openapi/events.yaml`.
#[must_use]
pub fn yaml() -> String {
    serde_yaml::to_string(&document()).unwrap_or_default()
}

fn past(action: Action) -> &'static str {
    match action {
        Action::Created => "created",
        Action::Updated => "changed",
        Action::Closed => "won or lost",
        Action::Reopened => "opened again",
        Action::Deleted => "deleted",
    }
}

fn message(event_type: &str, summary: &str) -> Value {
    json!({
        "name": event_type,
        "title": event_type,
        "summary": summary,
        "contentType": "application/json",
        "payload": { "$ref": format!("#/components/schemas/{event_type}") },
    })
}

/// The envelope of the archive (6.1) around a resource.
fn envelope(event_type: &str, summary: &str, schema: &str) -> Value {
    json!({
        "type": "object",
        "description": summary,
        "required": ["eventId", "eventType", "timestamp", "source", "traceId", "data"],
        "properties": {
            "eventId": { "type": "string", "format": "uuid", "description": "An event that comes twice has the same one." },
            "eventType": { "type": "string", "const": event_type },
            "timestamp": { "type": "string", "format": "date-time", "description": "When it happened, in UTC." },
            "source": { "type": "string", "const": "crm" },
            "traceId": { "type": "string", "description": "The trace of the request that caused it (W3C Trace Context)." },
            "data": {
                "type": "object",
                "required": ["tenantId", "version", "changedFields", "resource"],
                "properties": {
                    "tenantId": { "type": "string", "minLength": 1, "maxLength": 64 },
                    "version": {
                        "type": "integer",
                        "minimum": 1,
                        "description": "The event's number among those of this resource.",
                    },
                    "changedFields": {
                        "type": "array",
                        "items": { "type": "string" },
                        "description": "The fields that changed.",
                    },
                    "resource": { "$ref": format!("#/components/schemas/{schema}") },
                },
            },
        },
    })
}

/// Takes a schema of the API's contract over, with those that it refers to.
fn take_schema(contract: &Contract, name: &str, schemas: &mut Map<String, Value>) {
    let Some(schema) = contract.document().pointer(&format!("/components/schemas/{name}")) else { return };
    if schemas.contains_key(name) {
        return;
    }
    let schema = to_json_schema(schema);
    schemas.insert(name.to_owned(), schema.clone());
    for referred in references(&schema) {
        take_schema(contract, &referred, schemas);
    }
}

/// What OpenAPI 3.0 says, as JSON Schema: `nullable` is a type, `example` one of `examples`.
fn to_json_schema(schema: &Value) -> Value {
    match schema {
        Value::Object(object) => {
            let mut converted: Map<String, Value> =
                object.iter().map(|(key, value)| (key.clone(), to_json_schema(value))).collect();
            if converted.remove("nullable").is_some()
                && let Some(own) = converted.get_mut("type")
            {
                *own = json!([own, "null"]);
            }
            if let Some(example) = converted.remove("example") {
                converted.insert("examples".to_owned(), json!([example]));
            }
            Value::Object(converted)
        }
        Value::Array(items) => items.iter().map(to_json_schema).collect(),
        other => other.clone(),
    }
}

fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(object) => {
            let own = object.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
            own.map(str::to_owned).into_iter().chain(object.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
