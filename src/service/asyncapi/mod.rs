//! The AsyncAPI 3 document of the events, emitted from the types that produce them; byte for byte
//! `openapi/events.yaml`, and served at `/asyncapi.yaml`.
//!
//! [`schemas`] are the events; the resources in them are those of the API contract, converted to JSON Schema. [`mod@channels`] say
//! where they are found, on RabbitMQ and on Kafka; a [`mod@message`] has a name and a type. No script edits the document afterwards.

mod channels;
mod message;
mod schemas;

use serde_json::{Map, Value, json};

use self::{
    channels::{channels, operations, servers},
    message::{Message, capital, pascal_case},
    schemas::{add_consumed, add_published, add_schema, headers},
};
use super::{
    contract::{contract, resource_names},
    resources::{ResourceEntry, resources},
};
use crate::{
    http::{BASE_PATH, contract::yaml as contract_yaml},
    inbound,
    resource::Action,
};

/// The version of the events, which is not the program's: `openapi/README.md` says what raises it.
pub const VERSION: &str = "1.4.0";

/// Emits the document. Needs no environment, database or configuration.
#[must_use]
pub fn document() -> Value {
    let resources = resources();
    let mut schemas = Map::new();
    let published = published(&resources, &mut schemas);
    let consumed: Vec<Message> = inbound::consumed()
        .iter()
        .map(|event| {
            let name = pascal_case(event.event_type);
            add_consumed(&name, event, &mut schemas);
            Message { name, event_type: event.event_type.to_owned(), summary: event.summary.to_owned() }
        })
        .collect();
    schemas.insert("MessageHeaders".to_owned(), headers());
    schemas.sort_keys();
    let messages: Map<String, Value> =
        published.iter().chain(&consumed).map(|message| (message.name.clone(), message.describe())).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": info(&resources),
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": channels(&published, &consumed),
        "operations": operations(&published, &consumed),
        "components": { "messages": messages, "schemas": schemas },
    })
}

/// The document as YAML, byte for byte `openapi/events.yaml`.
#[must_use]
pub fn yaml() -> String {
    contract_yaml(&document())
}

fn info(resources: &[ResourceEntry]) -> Value {
    let description = format!(
        "What happens to {}. An event is stored in the transaction of its change: both are committed or neither is. \
         Events of one resource are delivered in the order of `data.version`; an event may be delivered repeatedly, \
         with the same `eventId`. Events are published to a broker, if there is one, and can be read over HTTP at \
         `GET {BASE_PATH}/events`. Within a major version, events only gain fields: consumers ignore unknown ones.",
        resource_names(resources)
    );
    json!({
        "title": "CRM events",
        "version": VERSION,
        "description": description,
        "license": { "name": "MIT", "url": "https://opensource.org/license/mit" },
    })
}

/// The messages about resources; adds the schemas that they use.
fn published(resources: &[ResourceEntry], schemas: &mut Map<String, Value>) -> Vec<Message> {
    let contract = contract();
    let mut messages = Vec::new();
    for ResourceEntry { kind, actions, schema, .. } in resources {
        add_schema(&contract, schema, schemas);
        for action in *actions {
            let event_type = action.event_type(*kind);
            let name = format!("{schema}{}", capital(action.name()));
            let summary = format!("The {} was {}.", kind.name, past(*action));
            add_published(&name, &event_type, &summary, schema, schemas);
            messages.push(Message { name, event_type, summary });
        }
    }
    messages
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
