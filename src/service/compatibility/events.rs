//! AsyncAPI documents, compared by the rules for OpenAPI.
//!
//! What is sent becomes the reply of an operation, what is received its request body: the rules are the same, consumers of
//! events ignore unknown fields as clients do.

use serde_json::{Map, Value, json};

use super::{
    comparison::{Comparison, elements, follow, pairs},
    difference::{
        Difference,
        Direction::{self, Request},
        Effect::{Breaking, Compatible, Documentation},
        Place,
    },
};

/// What OpenAPI has no word for, in the operations that messages become: the schema of the headers, whose names have a case
/// in a broker, and what each protocol does with the message.
pub(super) const SENT_HEADERS: &str = "x-sent-headers";
pub(super) const RECEIVED_HEADERS: &str = "x-received-headers";
pub(super) const BINDINGS: &str = "x-bindings";

/// Compares what two AsyncAPI documents say beside the messages.
pub(super) fn channels(old: &Value, new: &Value) -> Vec<Difference> {
    let mut comparison = Comparison::new(old, new);
    for (key, old, new) in pairs(Some(old), Some(new)) {
        match key {
            // Judged with the messages, as parts of an OpenAPI document.
            "info" | "components" | "defaultContentType" => {}
            "servers" | "channels" | "operations" => parts(&mut comparison, key, old, new),
            "asyncapi" if old != new && [old, new].iter().all(|version| is_asyncapi_3(*version)) => {
                comparison.note(
                    &Place::new("", "#").at(key).titled(key),
                    Documentation,
                    "another edition of AsyncAPI 3",
                );
            }
            _ => comparison.annotation(&Place::new("", "#").at(key).titled(key), key, old, new),
        }
    }
    comparison.into_found()
}

fn parts(comparison: &mut Comparison<'_>, kind: &str, old: Option<&Value>, new: Option<&Value>) {
    let kind_of_one = kind.trim_end_matches('s');
    for (name, old, new) in pairs(old, new) {
        let place = Place::new("", "#").at(kind).at(name).titled(format!("{kind_of_one} `{name}`"));
        match (old, new) {
            (Some(_), None) => comparison.note(&place, Breaking, format!("the {kind_of_one} is gone")),
            (None, _) => comparison.note(&place, Compatible, format!("a new {kind_of_one}")),
            (Some(old), Some(new)) => {
                for (key, old, new) in pairs(Some(old), Some(new)) {
                    let place = place.at(key);
                    match (kind, key) {
                        ("channels", "messages") => messages(comparison, old, new, &place),
                        ("operations", "messages") if is_reordered(old, new) => {
                            comparison.note(&place, Documentation, "the messages are in another order");
                        }
                        // Those that come and go are judged as operations.
                        ("operations", "messages") => {}
                        ("channels", "servers") => servers(comparison, old, new, &place),
                        (_, "bindings") => comparison.bindings(old, new, &place),
                        ("servers", "variables") => variables(comparison, old, new, &place),
                        _ => comparison.annotation(&place, key, old, new),
                    }
                }
            }
        }
    }
}

/// Judges the messages of a channel by their names in it; what they hold is judged as operations.
fn messages(comparison: &mut Comparison<'_>, old: Option<&Value>, new: Option<&Value>, place: &Place) {
    for (name, old, new) in pairs(old, new) {
        let place = place.at(name).titled(format!("{}, message `{name}`", place.field));
        match (old, new) {
            (Some(_), None) => comparison.note(&place, Breaking, "the message is gone from the channel"),
            (None, _) => comparison.note(&place, Compatible, "a new message in the channel"),
            (Some(old), Some(new)) if old != new => comparison.note(&place, Breaking, "it is another message"),
            _ => {}
        }
    }
}

/// Judges the servers of a channel. One that names none is on all of them.
fn servers(comparison: &mut Comparison<'_>, old: Option<&Value>, new: Option<&Value>, place: &Place) {
    let lacks = |list: Option<&Value>, other: Option<&Value>| {
        elements(other).any(|server| elements(list).all(|known| known != server))
    };
    match (old, new) {
        _ if old == new => {}
        (_, None) => comparison.note(place, Compatible, "the channel is on every server now"),
        (None, _) => comparison.note(place, Breaking, "the channel is no longer on every server"),
        _ if lacks(new, old) => comparison.note(place, Breaking, "the channel is gone from a server"),
        _ if lacks(old, new) => comparison.note(place, Compatible, "the channel is on another server too"),
        _ => comparison.note(place, Documentation, "the servers are in another order"),
    }
}

/// Judges what stands for parts of a server's address.
fn variables(comparison: &mut Comparison<'_>, old: Option<&Value>, new: Option<&Value>, place: &Place) {
    for (name, old, new) in pairs(old, new) {
        let place = place.at(name).titled(format!("{}, variable `{name}`", place.field));
        let (Some(old), Some(new)) = (old, new) else {
            comparison.note(&place, Breaking, "a variable comes or goes");
            continue;
        };
        for (key, old, new) in pairs(Some(old), Some(new)) {
            comparison.annotation(&place.at(key), key, old, new);
        }
    }
}

impl<'a> Comparison<'a> {
    /// Judges what protocols do with a channel, an operation or a message: something may be said of it that was not.
    pub fn bindings(&mut self, old: Option<&Value>, new: Option<&Value>, place: &Place) {
        for (key, old, new) in pairs(old, new) {
            let place = place.at(key).titled(format!("{}, `{key}`", place.field));
            match (old, new) {
                _ if old == new => {}
                _ if key == "bindingVersion" => {
                    self.note(&place, Documentation, "another edition of what describes the binding");
                }
                (Some(Value::Object(_)), Some(Value::Object(_))) => self.bindings(old, new, &place),
                _ if key == "description" => self.annotation(&place, key, old, new),
                (None, _) => self.note(&place, Compatible, "a new binding"),
                (Some(_), None) => self.note(&place, Breaking, "the binding is gone"),
                _ => self.note(&place, Breaking, "the binding differs"),
            }
        }
    }

    /// Judges the headers of a message.
    pub fn message_headers(
        &mut self,
        direction: Direction,
        old: Option<&'a Value>,
        new: Option<&'a Value>,
        place: &Place,
    ) {
        let place = place.titled("headers: ");
        match (old, new) {
            (Some(old), Some(new)) => self.schemas(direction, old, new, &place),
            (Some(_), None) => self.note(&place, Breaking, "the headers are gone"),
            (None, Some(new)) => {
                let requires = elements(follow(self.new, new, "").value.get("required")).next().is_some();
                let effect = if direction == Request && requires { Breaking } else { Compatible };
                self.note(&place, effect, "there are headers now");
            }
            (None, None) => {}
        }
    }
}

fn is_asyncapi_3(version: Option<&Value>) -> bool {
    version.and_then(Value::as_str).is_some_and(|version| version.starts_with("3."))
}

/// Whether two lists hold the same in another order.
fn is_reordered(old: Option<&Value>, new: Option<&Value>) -> bool {
    old != new
        && elements(old).all(|message| elements(new).any(|known| known == message))
        && elements(old).count() == elements(new).count()
}

/// The messages as an OpenAPI document: each is an operation of its own.
pub(super) fn as_openapi(document: &Value) -> Value {
    let mut paths = Map::new();
    for (operation, definition) in document.get("operations").and_then(Value::as_object).into_iter().flatten() {
        let is_sent = definition.get("action") == Some(&json!("send"));
        for message in elements(definition.get("messages")) {
            let name = message.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
            let path = format!("/{operation}/{}", name.unwrap_or_default());
            let message = follow(document, message, "").value;
            let content_type = message.get("contentType").or_else(|| document.get("defaultContentType"));
            let content_type = content_type.and_then(Value::as_str).unwrap_or("application/json");
            paths.insert(path, if is_sent { sent(message, content_type) } else { received(message, content_type) });
        }
    }
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object).into_iter().flatten();
    let schemas: Map<String, Value> = schemas.map(|(name, schema)| (name.clone(), to_openapi(schema))).collect();
    json!({
        "openapi": "3.0.3",
        "info": document.get("info"),
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

/// What a difference calls the operations that [`as_openapi`] made.
pub(super) fn named(difference: Difference) -> Difference {
    let name = |operation: &String| {
        operation.split_once(" /").map_or_else(|| operation.clone(), |(_, path)| path.replace('/', " "))
    };
    Difference { operations: difference.operations.iter().map(name).collect(), ..difference }
}

fn sent(message: &Value, content_type: &str) -> Value {
    let mut operation = annotations(message, SENT_HEADERS);
    let reply = json!({ "description": "", "content": content(message, content_type) });
    operation.insert("responses".to_owned(), json!({ "200": reply }));
    json!({ "get": operation })
}

fn received(message: &Value, content_type: &str) -> Value {
    let mut operation = annotations(message, RECEIVED_HEADERS);
    operation.insert("requestBody".to_owned(), json!({ "required": true, "content": content(message, content_type) }));
    operation.insert("responses".to_owned(), json!({}));
    json!({ "post": operation })
}

/// What a message says beside its payload. `name` is what brokers call it.
fn annotations(message: &Value, headers: &str) -> Map<String, Value> {
    let parts = message.as_object().into_iter().flatten();
    parts
        .filter(|(key, _)| !["payload", "contentType"].contains(&key.as_str()))
        .map(|(key, value)| match key.as_str() {
            "title" => ("x-title".to_owned(), value.clone()),
            "name" => ("operationId".to_owned(), value.clone()),
            "bindings" => (BINDINGS.to_owned(), value.clone()),
            "headers" => (headers.to_owned(), to_openapi(value)),
            _ => (key.clone(), value.clone()),
        })
        .collect()
}

fn content(message: &Value, content_type: &str) -> Value {
    json!({ content_type: { "schema": message.get("payload").map(to_openapi).unwrap_or_default() } })
}

/// Converts a JSON Schema to one of OpenAPI 3.0: `null` among the types becomes `nullable`, `const` an enum of one value,
/// `examples` an example.
fn to_openapi(schema: &Value) -> Value {
    let Some(keywords) = schema.as_object() else { return schema.clone() };
    let mut converted = Map::new();
    for (key, value) in keywords {
        match (key.as_str(), value) {
            ("type", Value::Array(types)) => {
                let mut others = types.iter().filter(|name| **name != "null");
                match (others.next(), others.next()) {
                    (Some(only), None) => drop(converted.insert("type".to_owned(), only.clone())),
                    // There is none in OpenAPI 3.0: it stays what it is, and is compared as a whole.
                    _ => drop(converted.insert("type".to_owned(), value.clone())),
                }
                if types.iter().any(|name| *name == "null") {
                    converted.insert("nullable".to_owned(), json!(true));
                }
            }
            ("const", only) => drop(converted.insert("enum".to_owned(), json!([only]))),
            ("examples", Value::Array(examples)) => {
                converted.insert("example".to_owned(), json!(examples));
            }
            ("properties", Value::Object(properties)) => {
                let properties: Map<_, _> =
                    properties.iter().map(|(name, schema)| (name.clone(), to_openapi(schema))).collect();
                converted.insert(key.clone(), properties.into());
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(parts)) => {
                converted.insert(key.clone(), parts.iter().map(to_openapi).collect());
            }
            ("items" | "additionalProperties" | "not", part) => drop(converted.insert(key.clone(), to_openapi(part))),
            _ => drop(converted.insert(key.clone(), value.clone())),
        }
    }
    Value::Object(converted)
}
