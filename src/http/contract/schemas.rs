//! Adds to the schemas what their types do not know: which are closed, the names of values, examples of ids.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    examples::{example, example_id},
    json::{entries, set},
    supplement::{OpenEnum, Supplement},
};
use crate::values::page;

/// Completes the schemas.
pub(super) fn complete(schemas: &mut Value, request_bodies: &BTreeSet<String>, supplement: &Supplement) {
    for (name, schema) in entries(Some(&mut *schemas)) {
        if request_bodies.contains(name) {
            set(schema, "additionalProperties", json!(false));
        }
        for (field, property) in entries(schema.get_mut("properties")) {
            add_example(field, property);
            // Nobody else gets null.
            if field == page::TOTAL && name.ends_with("List") && property.get("nullable") == Some(&json!(true)) {
                set(property, "x-null-by", json!(page::TOTAL));
            }
        }
    }
    for OpenEnum { pointer, values } in &supplement.open_enums {
        if let Some(schema) = schemas.pointer_mut(pointer) {
            set(schema, "x-extensible-enum", json!(values));
        }
    }
    for (_, schema) in entries(Some(&mut *schemas)) {
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        if let Some(fields) = schema.get_mut("example").and_then(Value::as_object_mut) {
            // What may be left out is: linters stumble over `null`.
            fields.retain(|name, value| !value.is_null() || required.iter().any(|required| required == name));
        }
    }
    // Fields that are named by a reference show the example of what it refers to; enums have their first value.
    let known = schemas.clone();
    for (_, schema) in entries(Some(schemas)) {
        if schema.get("enum").is_some() && schema.get("example").is_none() {
            let value = example(schema, &known);
            set(schema, "example", value);
        }
    }
}

/// Ids have one example for each kind, whichever type they have; a field that is true or false says so.
fn add_example(field: &str, property: &mut Value) {
    if property.get("format") == Some(&json!("uuid")) {
        set(property, "example", json!(example_id(field)));
    }
    if property.get("type") == Some(&json!("boolean")) {
        set(property, "example", json!(true));
    }
}
