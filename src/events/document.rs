//! The AsyncAPI 3 document of the events: emitted from the types that make them, the bytes of `openapi/events.yaml`.
//!
//! Schemas of resources are those of the API's contract, said in JSON Schema. Nothing repairs the document afterwards.

use poem_openapi::types::Type;
use serde_json::{Map, Value, json};

use super::{
    broker,
    event::{Action, Evented},
    inbound,
};
use crate::{
    contacts, customers, follow_ups,
    http::contract::Contract,
    kind::Kind,
    opportunities,
    telemetry::trace,
    values::{ContractValue, Id, Tenant},
};

/// The version of the events, which is not that of the program: see `openapi/README.md` for what raises it.
pub const VERSION: &str = "1.1.0";

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
    let told: Vec<String> = messages.keys().cloned().collect();
    for (event_type, summary, required, data) in taken() {
        messages.insert(event_type.to_owned(), message(event_type, summary));
        schemas.insert(event_type.to_owned(), taken_envelope(event_type, summary, required, &data));
    }
    schemas.sort_keys();
    let reference = |of: &str, name: &String| json!({ "$ref": format!("#/{of}/{name}") });
    let taken: Vec<String> = inbound::TYPES.map(str::to_owned).into();
    let channel = |address: &str, description: &str, names: &[String]| {
        let messages: Map<String, Value> =
            names.iter().map(|name| (name.clone(), reference("components/messages", name))).collect();
        let exchange = json!({ "name": address, "type": "topic", "durable": true, "vhost": "/" });
        json!({
            "address": address,
            "description": description,
            "messages": messages,
            "bindings": { "amqp": { "is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0" } },
        })
    };
    let operation = |action: &str, channel: &str, summary: &str, names: &[String]| {
        let messages: Vec<Value> =
            names.iter().map(|name| reference(&format!("channels/{channel}/messages"), name)).collect();
        let channel = format!("#/channels/{channel}");
        json!({ "action": action, "channel": { "$ref": channel }, "summary": summary, "messages": messages })
    };
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "CRM cell events",
            "version": VERSION,
            "description": "What happens to customers, contacts, opportunities and follow-ups. Each event is kept with the \
                change it tells of, or neither is. Events of one resource come in the order of `data.version`; an event \
                may come more than once, with the same `eventId`. They are published where there is a \
                broker, and read over HTTP at `GET /events` of the API. \
                Within a major version events only gain fields: readers ignore those they do not know.",
            "license": { "name": "MIT", "url": "https://opensource.org/license/mit" },
        },
        "defaultContentType": "application/json",
        "channels": {
            "events": channel(
                broker::EVENTS,
                "All events of the cell: on RabbitMQ a topic exchange, the routing key is the event's type.",
                &told,
            ),
            "platform": channel(
                broker::PLATFORM,
                &format!(
                    "The platform's events. The cell takes those below through the durable queue `{}`, and applies each \
                     `eventId` once. What it cannot apply goes to the queue `{}`, with the reason in the header `{}`.",
                    broker::INBOUND,
                    broker::DEAD,
                    broker::REASON
                ),
                &taken,
            ),
        },
        "operations": {
            "tellEvents": operation("send", "events", "The cell tells what happened.", &told),
            "takeEvents": operation("receive", "platform", "The cell acts on what happened elsewhere.", &taken),
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
        "headers": headers(),
        "payload": { "$ref": format!("#/components/schemas/{event_type}") },
    })
}

/// The headers of a message; of the platform's none is required.
fn headers() -> Value {
    json!({
        "type": "object",
        "properties": {
            broker::TENANT: { "type": "string", "description": "The tenant." },
            trace::HEADER: { "type": "string", "description": "The trace that it belongs to (W3C Trace Context)." },
        },
    })
}

/// The platform's events that the cell takes: the type, what it leads to, the fields of `data` that are required, and all.
fn taken() -> [(&'static str, &'static str, &'static [&'static str], Value); 2] {
    let id = |what: &str| described::<Id>(what, true);
    [
        (
            inbound::CONTRACT_SIGNED,
            "A contract was signed: the customer becomes signed, and the opportunity, if one is named, won.",
            &["tenantId", "customerId"],
            json!({
                "tenantId": described::<Tenant>("The tenant.", false),
                "customerId": described::<Id>("The customer who signed.", false),
                "opportunityId": id("The opportunity that led to it; one of the customer's."),
            }),
        ),
        (
            inbound::TASK_COMPLETED,
            "A task was completed: the follow-up's content gains the last line `[completed <timestamp>] <title>`. Without \
             `followUpId` a follow-up of type `oa.task` is recorded, about at least one of the other three.",
            &["tenantId", "title"],
            json!({
                "tenantId": described::<Tenant>("The tenant.", false),
                "title": described::<inbound::TaskTitle>("What was done.", false),
                "followUpId": id("The follow-up that it completes."),
                "customerId": id("The customer it is about."),
                "opportunityId": id("The opportunity it is about; one of the customer's."),
                "contactId": id("The contact it is about; one of the customer's."),
            }),
        ),
    ]
}

/// The envelope of an event of the platform: only what is needed is required, and other fields are ignored.
fn taken_envelope(event_type: &str, summary: &str, required: &[&str], data: &Value) -> Value {
    json!({
        "type": "object",
        "description": summary,
        "required": ["eventId", "eventType", "timestamp", "data"],
        "properties": {
            "eventId": described::<inbound::EventId>("An event that comes twice has the same one.", false),
            "eventType": { "type": "string", "const": event_type },
            "timestamp": described::<inbound::Happened>("When it happened.", false),
            "source": { "type": "string" },
            "traceId": { "type": ["string", "null"], "description": "The trace that it belongs to (W3C Trace Context)." },
            "data": { "type": "object", "required": required, "properties": data },
        },
    })
}

/// The schema of a value, with a description.
fn described<T: ContractValue>(description: &str, nullable: bool) -> Value {
    let mut own = json!({ "description": description });
    if nullable {
        own = json!({ "description": description, "type": ["string", "null"] });
    }
    let mut schema = to_json_schema(&serde_json::to_value(T::schema_ref()).unwrap_or_default());
    if let (Some(schema), Value::Object(own)) = (schema.as_object_mut(), own) {
        schema.extend(own);
    }
    schema
}

/// The envelope around a resource.
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
