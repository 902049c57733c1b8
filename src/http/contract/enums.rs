//! Enums, for those who generate code from the contract: names that no two enums share, what integers mean, and that replies
//! may get more values.

use std::collections::BTreeSet;

use poem_openapi::types::ParseFromJSON;
use serde_json::{Value, json};

use super::json::{entries, referenced_schemas, set};
use crate::{http::error::ErrorCode, values::integer_enum::ValueNames};

/// Completes the named enums. `integer_enums` has names for the values of those that are integers.
pub(super) fn complete(document: &mut Value, integer_enums: &[ValueNames]) {
    let answered = answered(document);
    for (schema_name, schema) in entries(document.pointer_mut("/components/schemas")) {
        let Some(values) = schema.get("enum").and_then(Value::as_array).cloned() else { continue };
        // Zalando's RESTful API guidelines, rule 112.
        if answered.contains(schema_name) {
            set(schema, "x-extensible-enum", json!(values));
        }
        let own = integer_enums.iter().find(|own| own.schema == schema_name);
        let names: Vec<String> = match own {
            Some(own) => own.names.clone(),
            None => values.iter().filter_map(Value::as_str).map(screaming_snake).collect(),
        };
        // Constants share one scope in some languages (Go, C): like those of protobuf, they begin with their enum's name.
        let prefix = screaming_snake(schema_name);
        let names: Vec<String> = names.iter().map(|name| format!("{prefix}_{name}")).collect();
        set(schema, "x-enum-varnames", json!(names));
        if let Some(own) = own {
            // NSwag knows them by another name.
            set(schema, "x-enumNames", json!(names));
            set(schema, "x-enum-descriptions", json!(own.meanings));
        } else if schema_name == "ErrorCode" {
            let message = |value: &Value| ErrorCode::parse_from_json(Some(value.clone())).ok().map(ErrorCode::message);
            set(schema, "x-enum-descriptions", values.iter().filter_map(message).collect());
        }
    }
}

/// The schemas that replies are made of.
fn answered(document: &Value) -> BTreeSet<String> {
    let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
    let operations = paths.flat_map(|(_, item)| item.as_object().into_iter().flatten());
    let replies = operations.filter_map(|(_, operation)| operation.get("responses"));
    let mut next: Vec<String> =
        replies.chain(document.pointer("/components/responses")).flat_map(referenced_schemas).collect();
    let mut found = BTreeSet::new();
    while let Some(name) = next.pop() {
        let Some(schema) = document.pointer(&format!("/components/schemas/{name}")) else { continue };
        if found.insert(name) {
            next.extend(referenced_schemas(schema));
        }
    }
    found
}

/// A name in upper case with its words apart: `OPPORTUNITY_STAGE` for `OpportunityStage`, and `NOT_FOUND` for itself.
fn screaming_snake(name: &str) -> String {
    let mut words = String::new();
    let mut follows_lower = false;
    for character in name.chars() {
        if character.is_uppercase() && follows_lower {
            words.push('_');
        }
        follows_lower = character.is_lowercase() || character.is_ascii_digit();
        words.extend(if character.is_alphanumeric() { character } else { '_' }.to_uppercase());
    }
    words
}
