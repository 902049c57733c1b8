//! Turns poem-openapi's document into the contract.

use std::collections::BTreeSet;

use poem_openapi::{registry::Registry, types::Type};
use serde_json::{Value, json};

use super::{
    components::{headers, parameters},
    enums, errors,
    examples::Examples,
    json::{entries, referenced_schemas, set},
    operation, schemas, shared_examples,
    supplement::Supplement,
};
use crate::http::error::ErrorBody;

/// Completes and corrects poem-openapi's document. Pure.
pub(super) fn emit(spec: &str, supplement: &Supplement) -> Value {
    let mut document: Value = serde_json::from_str(spec).unwrap_or_default();
    add_error_schemas(&mut document);
    for (_, item) in entries(document.get_mut("paths")) {
        entries(Some(item)).into_iter().for_each(|(_, operation)| operation::add_listing(operation));
    }
    correct(&mut document);
    let mut request_bodies = BTreeSet::new();
    for (_, item) in entries(document.get_mut("paths")) {
        for (_, operation) in entries(Some(item)) {
            request_bodies.extend(operation.get("requestBody").map(referenced_schemas).unwrap_or_default());
        }
    }
    let mut known = document.pointer_mut("/components/schemas").map(Value::take).unwrap_or_default();
    schemas::complete(&mut known, &request_bodies, supplement);
    let mut examples = Examples::new(&known, &supplement.examples);
    for (template, item) in entries(document.get_mut("paths")) {
        for (method, operation) in entries(Some(item)) {
            operation::complete((method, template), operation, &known);
            if let Some(body) = operation.get_mut("requestBody") {
                examples.add(body, true);
            }
            let responses = entries(operation.get_mut("responses"));
            for (_, response) in responses.into_iter().filter(|(status, _)| status.starts_with('2') || *status == "503")
            {
                examples.add(response, false);
            }
        }
    }
    let examples = examples.into_components();
    add_tags(&mut document, supplement);
    set(&mut document, "openapi", json!("3.0.3"));
    if let (Some(name), Some(info)) = (supplement.display_name, document.get_mut("info")) {
        set(info, "x-display-name", json!(name));
    }
    if let Some(components) = document.get_mut("components") {
        set(components, "schemas", known);
        set(components, "parameters", parameters());
        set(components, "headers", headers());
        set(components, "responses", errors::responses());
        set(components, "examples", examples);
    }
    enums::complete(&mut document, &supplement.integer_enums);
    shared_examples::share(&mut document);
    document
}

/// poem-openapi drops schemas that no operation references; error responses are only added here.
fn add_error_schemas(document: &mut Value) {
    let mut registry = Registry::new();
    ErrorBody::register(&mut registry);
    let mut schemas = document.pointer("/components/schemas").cloned().unwrap_or_else(|| json!({}));
    for (name, schema) in &registry.schemas {
        set(&mut schemas, name, serde_json::to_value(schema).unwrap_or_default());
    }
    if let Some(schemas) = schemas.as_object_mut() {
        schemas.sort_keys();
    }
    if let Some(components) = document.get_mut("components") {
        set(components, "schemas", schemas);
    }
}

/// poem-openapi sorts the tags by name; readers expect them in the order of the operations, after what holds for all.
fn add_tags(document: &mut Value, supplement: &Supplement) {
    let mut used = Vec::new();
    for (_, item) in entries(document.get_mut("paths")) {
        used.extend(entries(Some(item)).into_iter().map(|(_, operation)| operation.pointer("/tags/0").cloned()));
    }
    let Some(tags) = document.get_mut("tags").and_then(Value::as_array_mut) else { return };
    tags.sort_by_key(|tag| used.iter().position(|used| used.as_ref() == tag.get("name")));
    if let Some((name, description)) = &supplement.conventions {
        tags.insert(0, json!({ "name": name, "description": description, "x-traitTag": true }));
    }
}

/// Corrects what poem-openapi emits for schemas and parameters.
fn correct(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(correct),
        Value::Object(object) => {
            // poem-openapi wraps a described `$ref` in an anonymous `allOf`; the referenced schema describes itself.
            let named = object.get("allOf").and_then(Value::as_array).and_then(|parts| parts.first()).cloned();
            if let Some(named) = named.filter(|part| part.get("$ref").is_some()) {
                *value = named;
                return;
            }
            // Keys with their default value are noise.
            let defaults = [("deprecated", json!(false)), ("explode", json!(true))];
            object.retain(|key, value| !defaults.iter().any(|(name, default)| key == name && value == default));
            // The same, but generators take an empty schema for one whose name they missed.
            if let Some(any) = object.get_mut("additionalProperties").filter(|schema| **schema == json!({})) {
                *any = json!(true);
            }
            if object.contains_key("properties") {
                object.remove("title");
            }
            for bound in ["minimum", "maximum"] {
                let whole = object.get(bound).and_then(Value::as_f64).filter(|bound| bound.fract() == 0.0);
                if let Some(whole) = whole {
                    object.insert(bound.to_owned(), json!(whole as i64));
                }
            }
            object.values_mut().for_each(correct);
        }
        _ => {}
    }
}
