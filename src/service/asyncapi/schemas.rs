//! The schemas of the events: an envelope for each type, and what is in it. Every object and every fixed text has a name, so
//! that generated code has one too.

use serde_json::{Map, Value, json};

use crate::{
    broker,
    http::contract::{Contract, example_id, referenced_schemas},
    inbound::{ConsumedEvent, DataField, EventId, EventTimestamp},
    telemetry::trace,
};

/// The headers of a message. The platform's messages need none of them.
pub(super) fn headers() -> Value {
    json!({
        "type": "object",
        "description": "The headers of a message.",
        "properties": {
            broker::TENANT: { "type": "string", "description": "The tenant." },
            trace::HEADER: { "type": "string", "description": "The trace of the event (W3C Trace Context)." },
        },
    })
}

/// Adds the envelope of a platform event: only the fields that this service needs are required; unknown ones are ignored.
pub(super) fn add_consumed(name: &str, event: &ConsumedEvent, schemas: &mut Map<String, Value>) {
    let data: Map<String, Value> =
        (event.data)().iter().map(|field| (field.name.to_owned(), described(field))).collect();
    let field = |field: DataField| described(&field);
    let (of_data, of_type) = (format!("{name}Data"), format!("{name}Type"));
    let envelope = json!({
        "type": "object",
        "description": event.summary,
        "required": ["eventId", "eventType", "timestamp", "data"],
        "properties": {
            "eventId": field(DataField::of::<EventId>(
                "eventId",
                "The same if the event is delivered twice; unique within its sender and tenant.",
            )),
            "eventType": reference(&of_type),
            "timestamp": field(DataField::of::<EventTimestamp>("timestamp", "When it happened.")),
            "source": { "type": "string", "description": "Who sent it: the first part of the type, or a part of that." },
            "traceId": { "type": ["string", "null"], "description": "The trace of the event (W3C Trace Context)." },
            "data": reference(&of_data),
        },
    });
    let data = json!({
        "type": "object",
        "description": format!("What happened, as {name} says it."),
        "required": event.required,
        "properties": data,
    });
    schemas.insert(name.to_owned(), envelope);
    schemas.insert(of_data, data);
    schemas.insert(of_type, fixed(event.event_type));
}

/// A reference to a schema.
fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The type of an event, which is always the same text.
fn fixed(event_type: &str) -> Value {
    json!({ "type": "string", "const": event_type, "description": format!("Always `{event_type}`.") })
}

/// The schema of a field, with its description.
fn described(field: &DataField) -> Value {
    let mut schema = to_json_schema(&serde_json::to_value(&field.schema).unwrap_or_default());
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), json!(field.description));
        if field.name.ends_with("Id") {
            schema.insert("examples".to_owned(), json!([example_id(field.name)]));
        }
        if field.nullable {
            schema.insert("type".to_owned(), json!(["string", "null"]));
        }
    }
    schema
}

/// Adds the envelope of an event about a resource.
pub(super) fn add_published(
    name: &str,
    event_type: &str,
    summary: &str,
    schema: &str,
    schemas: &mut Map<String, Value>,
) {
    let (of_data, of_type) = (format!("{schema}EventData"), format!("{name}Type"));
    let envelope = json!({
        "type": "object",
        "description": summary,
        "required": ["eventId", "eventType", "timestamp", "source", "traceId", "data"],
        "properties": {
            "eventId": {
                "type": "string",
                "format": "uuid",
                "description": "The same if the event is delivered twice.",
                "examples": [example_id("eventId")],
            },
            "eventType": reference(&of_type),
            "timestamp": { "type": "string", "format": "date-time", "description": "When it happened, in UTC." },
            "source": reference("CrmSource"),
            "traceId": { "type": "string", "description": "The trace of its request (W3C Trace Context)." },
            "data": reference(&of_data),
        },
    });
    let data = json!({
        "type": "object",
        "description": format!("What the events about a {schema} hold."),
        "required": ["tenantId", "version", "changedFields", "resource"],
        "properties": {
            "tenantId": { "type": "string", "minLength": 1, "maxLength": 64, "description": "The tenant." },
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
            "resource": reference(schema),
        },
    });
    let source = json!({ "type": "string", "const": "crm", "description": "Always `crm`: this service." });
    schemas.insert(name.to_owned(), envelope);
    schemas.insert(of_data, data);
    schemas.insert(of_type, fixed(event_type));
    schemas.insert("CrmSource".to_owned(), source);
}

/// Adds a schema of the API contract, and those that it references.
pub(super) fn add_schema(contract: &Contract, name: &str, schemas: &mut Map<String, Value>) {
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
