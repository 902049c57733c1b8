//! The AsyncAPI 3 document of the events, emitted from the types that produce them; byte for byte
//! `openapi/events.yaml`.
//!
//! Resource schemas are those of the API contract, converted to JSON Schema. No script edits the document afterwards.

use serde_json::{Map, Value, json};

use super::{
    contract::{contract, resource_names},
    resources::{ResourceEntry, resources},
};
use crate::{
    broker,
    http::contract::{Contract, referenced_schemas},
    inbound::{self, ConsumedEvent, DataField, EventId, EventTimestamp},
    resource::Action,
    telemetry::trace,
};

/// The version of the events, which is not the program's: `openapi/README.md` says what raises it.
pub const VERSION: &str = "1.3.0";

/// Emits the document. Needs no environment, database or configuration.
#[must_use]
pub fn document() -> Value {
    let resources = resources();
    let (mut messages, mut schemas) = (Map::new(), Map::new());
    add_published(&resources, &mut messages, &mut schemas);
    let published: Vec<String> = messages.keys().cloned().collect();
    for event in inbound::consumed() {
        messages.insert(event.event_type.to_owned(), message(event.event_type, event.summary));
        schemas.insert(event.event_type.to_owned(), consumed_envelope(&event));
    }
    schemas.sort_keys();
    let consumed = inbound::event_types().map(str::to_owned);
    json!({
        "asyncapi": "3.0.0",
        "info": info(&resources),
        "defaultContentType": "application/json",
        "channels": {
            "events": channel(
                broker::EVENTS,
                "All events of this service. On RabbitMQ, a topic exchange; the routing key is the event's type.",
                &published,
            ),
            "platform": channel(
                broker::PLATFORM,
                &format!(
                    "The platform's events. This service consumes the ones below from the durable queue `{}`. The \
                     sender of an event is the first part of its type, and must be that of its routing key. Each \
                     `eventId` is applied once for each tenant and sender, and part of a sender, if its `source` \
                     names one; one that comes again with another type or other data cannot be applied. An event that names a resource which is not there yet is tried \
                     again for a minute. An event that cannot be applied goes to the queue `{}`, with the reason, \
                     which quotes nothing of it, in the header `{}`, and the time in `{}`.",
                    broker::INBOUND,
                    broker::DEAD_LETTERS,
                    broker::REASON,
                    broker::DEAD_SINCE
                ),
                &consumed,
            ),
        },
        "operations": {
            "publishEvents": operation("send", "events", "Publishes what happened.", &published),
            "consumeEvents": operation("receive", "platform", "Acts on what happened elsewhere.", &consumed),
        },
        "components": { "messages": messages, "schemas": schemas },
    })
}

fn info(resources: &[ResourceEntry]) -> Value {
    let description = format!(
        "What happens to {}. An event is stored in the transaction of its change: both are committed or neither is. \
         Events of one resource are delivered in the order of `data.version`; an event may be delivered repeatedly, \
         with the same `eventId`. Events are published to a broker, if there is one, and can be read over HTTP at \
         `GET /events` of the API. Within a major version, events only gain fields: consumers ignore unknown ones.",
        resource_names(resources)
    );
    json!({
        "title": "CRM cell events",
        "version": VERSION,
        "description": description,
        "license": { "name": "MIT", "url": "https://opensource.org/license/mit" },
    })
}

/// Adds the messages about resources, and the schemas that they use.
fn add_published(resources: &[ResourceEntry], messages: &mut Map<String, Value>, schemas: &mut Map<String, Value>) {
    let contract = contract();
    for ResourceEntry { kind, actions, schema, .. } in resources {
        add_schema(&contract, schema, schemas);
        for action in *actions {
            let event_type = action.event_type(*kind);
            let summary = format!("The {} was {}.", kind.name, past(*action));
            messages.insert(event_type.clone(), message(&event_type, &summary));
            schemas.insert(event_type.clone(), envelope(&event_type, &summary, schema));
        }
    }
}

fn channel(address: &str, description: &str, names: &[String]) -> Value {
    let messages: Map<String, Value> =
        names.iter().map(|name| (name.clone(), reference("components/messages", name))).collect();
    let exchange = json!({ "name": address, "type": "topic", "durable": true, "vhost": "/" });
    json!({
        "address": address,
        "description": description,
        "messages": messages,
        "bindings": { "amqp": { "is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0" } },
    })
}

fn operation(action: &str, channel: &str, summary: &str, names: &[String]) -> Value {
    let messages: Vec<Value> =
        names.iter().map(|name| reference(&format!("channels/{channel}/messages"), name)).collect();
    let channel = format!("#/channels/{channel}");
    json!({ "action": action, "channel": { "$ref": channel }, "summary": summary, "messages": messages })
}

fn reference(of: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/{of}/{name}") })
}

/// The document as YAML, byte for byte `openapi/events.yaml`.
#[must_use]
pub fn yaml() -> String {
    yaml_serde::to_string(&document()).unwrap_or_default()
}

fn past(action: Action) -> &'static str {
    match action {
        Action::Created => "created",
        Action::Updated => "changed",
        Action::Closed => "won or lost",
        Action::Reopened => "reopened",
        Action::Erased => "erased: its personal data is gone, and whoever holds a copy erases that too",
        Action::Deleted => "deleted",
    }
}

fn message(event_type: &str, summary: &str) -> Value {
    json!({
        "name": event_type,
        "title": event_type,
        "summary": summary,
        "contentType": "application/json",
        "headers": headers(),
        "payload": { "$ref": format!("#/components/schemas/{event_type}") },
    })
}

/// The headers of a message. The platform's messages need none of them.
fn headers() -> Value {
    json!({
        "type": "object",
        "properties": {
            broker::TENANT: { "type": "string", "description": "The tenant." },
            trace::HEADER: { "type": "string", "description": "The trace of the event (W3C Trace Context)." },
        },
    })
}

/// The envelope of a platform event: only the fields that this service needs are required; unknown ones are ignored.
fn consumed_envelope(event: &ConsumedEvent) -> Value {
    let data: Map<String, Value> =
        (event.data)().iter().map(|field| (field.name.to_owned(), described(field))).collect();
    let field = |field: DataField| described(&field);
    json!({
        "type": "object",
        "description": event.summary,
        "required": ["eventId", "eventType", "timestamp", "data"],
        "properties": {
            "eventId": field(DataField::of::<EventId>(
                "eventId",
                "The same if the event is delivered twice; unique within its sender and tenant.",
            )),
            "eventType": { "type": "string", "const": event.event_type },
            "timestamp": field(DataField::of::<EventTimestamp>("timestamp", "When it happened.")),
            "source": { "type": "string", "description": "Who sent it: the first part of the type, or a part of that." },
            "traceId": { "type": ["string", "null"], "description": "The trace of the event (W3C Trace Context)." },
            "data": { "type": "object", "required": event.required, "properties": data },
        },
    })
}

/// The schema of a field, with its description.
fn described(field: &DataField) -> Value {
    let mut schema = to_json_schema(&serde_json::to_value(&field.schema).unwrap_or_default());
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), json!(field.description));
        if field.nullable {
            schema.insert("type".to_owned(), json!(["string", "null"]));
        }
    }
    schema
}

/// The envelope of an event about a resource.
fn envelope(event_type: &str, summary: &str, schema: &str) -> Value {
    json!({
        "type": "object",
        "description": summary,
        "required": ["eventId", "eventType", "timestamp", "source", "traceId", "data"],
        "properties": {
            "eventId": {
                "type": "string",
                "format": "uuid",
                "description": "The same if the event is delivered twice.",
            },
            "eventType": { "type": "string", "const": event_type },
            "timestamp": { "type": "string", "format": "date-time", "description": "When it happened, in UTC." },
            "source": { "type": "string", "const": "crm" },
            "traceId": { "type": "string", "description": "The trace of its request (W3C Trace Context)." },
            "data": {
                "type": "object",
                "required": ["tenantId", "version", "changedFields", "resource"],
                "properties": {
                    "tenantId": { "type": "string", "minLength": 1, "maxLength": 64 },
                    "version": {
                        "type": "integer",
                        "minimum": 1,
                        "description": "The event's sequence number within the resource.",
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

/// Adds a schema of the API contract, and those that it references.
fn add_schema(contract: &Contract, name: &str, schemas: &mut Map<String, Value>) {
    let Some(schema) = contract.document().pointer(&format!("/components/schemas/{name}")) else { return };
    if schemas.contains_key(name) {
        return;
    }
    let schema = to_json_schema(schema);
    schemas.insert(name.to_owned(), schema.clone());
    for referred in referenced_schemas(&schema) {
        add_schema(contract, &referred, schemas);
    }
}

/// Converts an OpenAPI 3.0 schema to JSON Schema: `nullable` becomes a type, `example` becomes `examples`.
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
