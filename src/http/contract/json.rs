//! Helpers for JSON documents.

use serde_json::{Value, json};

use crate::values::{ContractValue, Timestamp};

/// A reference to a component.
pub(super) fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// The name of the schema that a reference is to.
pub(super) fn schema_name(part: &Value) -> Option<String> {
    let path = part.get("$ref").and_then(Value::as_str)?;
    path.strip_prefix("#/components/schemas/").map(str::to_owned)
}

/// The names of the schemas that `part` references.
#[must_use]
pub fn referenced_schemas(part: &Value) -> Vec<String> {
    match part {
        Value::Object(object) => {
            let own = object.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
            own.map(str::to_owned).into_iter().chain(object.values().flat_map(referenced_schemas)).collect()
        }
        Value::Array(items) => items.iter().flat_map(referenced_schemas).collect(),
        _ => Vec::new(),
    }
}

/// The entries of an object; none for any other value.
pub(super) fn entries(value: Option<&mut Value>) -> Vec<(&String, &mut Value)> {
    value.and_then(Value::as_object_mut).into_iter().flatten().collect()
}

pub(super) fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

/// A document as YAML. Readers of YAML 1.1 take a bare timestamp for one, and what is quoted for a text, which it is in JSON.
#[must_use]
pub fn yaml(document: &Value) -> String {
    let text = yaml_serde::to_string(document).unwrap_or_default();
    let quoted = |line: &str| match line.rsplit_once([' ']) {
        Some((before, value)) if before.ends_with([':', '-']) && Timestamp::from_value(value.into()).is_ok() => {
            format!("{before} '{value}'\n")
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(quoted).collect()
}
