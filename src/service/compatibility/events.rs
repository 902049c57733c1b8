//! AsyncAPI documents, compared by the rules for OpenAPI.
//!
//! What is sent becomes the reply of an operation, what is received its request body: the rules are the same, consumers of
//! events ignore unknown fields as clients do.

use serde_json::{Map, Value, json};

use super::{
    comparison::{Comparison, elements, follow, pairs},
    difference::{
        Difference,
        Effect::{Breaking, Compatible, Documentation},
        Place,
    },
};

/// Compares what two AsyncAPI documents say beside the messages.
pub(super) fn channels(old: &Value, new: &Value) -> Vec<Difference> {
    let mut comparison = Comparison::new(old, new);
    for (key, old, new) in pairs(Some(old), Some(new)) {
        match key {
            // Judged with the messages, as parts of an OpenAPI document.
            "info" | "components" | "defaultContentType" => {}
            "channels" | "operations" => parts(&mut comparison, key, old, new),
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
                    match key {
                        "messages" if is_reordered(old, new) => {
                            comparison.note(&place.at(key), Documentation, "the messages are in another order");
                        }
                        // Those that come and go are judged as operations.
                        "messages" => {}
                        _ => comparison.annotation(&place.at(key), key, old, new),
                    }
                }
            }
        }
    }
}

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
    let headers: Map<String, Value> = headers(message)
        .into_iter()
        .map(|(name, is_required, schema)| (name, json!({ "required": is_required, "schema": schema })))
        .collect();
    let mut operation = annotations(message);
    operation.insert(
        "responses".to_owned(),
        json!({ "200": { "description": "", "headers": headers, "content": content(message, content_type) } }),
    );
    json!({ "get": operation })
}

fn received(message: &Value, content_type: &str) -> Value {
    let parameters: Vec<Value> = headers(message)
        .into_iter()
        .map(|(name, is_required, schema)| json!({ "name": name, "in": "header", "required": is_required, "schema": schema }))
        .collect();
    let mut operation = annotations(message);
    operation.insert("parameters".to_owned(), json!(parameters));
    operation.insert("requestBody".to_owned(), json!({ "required": true, "content": content(message, content_type) }));
    operation.insert("responses".to_owned(), json!({}));
    json!({ "post": operation })
}

/// What a message says of itself. `name` is what brokers call it.
fn annotations(message: &Value) -> Map<String, Value> {
    let parts = message.as_object().into_iter().flatten();
    parts
        .filter(|(key, _)| !["payload", "headers", "contentType"].contains(&key.as_str()))
        .map(|(key, value)| match key.as_str() {
            "title" => ("x-title".to_owned(), value.clone()),
            "name" => ("operationId".to_owned(), value.clone()),
            _ => (key.clone(), value.clone()),
        })
        .collect()
}

fn content(message: &Value, content_type: &str) -> Value {
    json!({ content_type: { "schema": message.get("payload").map(to_openapi).unwrap_or_default() } })
}

/// The headers of a message: name, whether it is required, schema.
fn headers(message: &Value) -> Vec<(String, bool, Value)> {
    let required: Vec<&Value> = elements(message.pointer("/headers/required")).collect();
    let headers = message.pointer("/headers/properties").and_then(Value::as_object).into_iter().flatten();
    headers
        .map(|(name, schema)| (name.clone(), required.iter().any(|known| *known == name), to_openapi(schema)))
        .collect()
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
                converted.insert("nullable".to_owned(), json!(types.iter().any(|name| *name == "null")));
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
