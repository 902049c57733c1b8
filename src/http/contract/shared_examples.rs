//! Turns the examples that stand in responses into components: what several operations show is there once. openapi-generator
//! also warns of every document with an example elsewhere.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    examples::upper_first,
    json::{entries, reference, set},
};

/// Moves every example of the responses to the components, named by its error's code and its own name; where operations have
/// different ones, by the first of its operations too.
pub(super) fn share(document: &mut Value) {
    let mut variants: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    visit(document, &mut |operation, name, example| {
        let alike = variants.entry(component(name, example)).or_default();
        alike.entry(example.to_string()).or_insert_with(|| operation.to_owned());
    });
    let mut moved = Map::new();
    visit(document, &mut |_, name, example| {
        let mut component = component(name, example);
        let alike = variants.get(&component).filter(|alike| alike.len() > 1);
        if let Some(first) = alike.and_then(|alike| alike.get(&example.to_string())) {
            component += &upper_first(first);
        }
        let referenced = reference("examples", &component);
        moved.insert(component, std::mem::replace(example, referenced));
    });
    let Some(components) = document.get_mut("components") else { return };
    let mut examples = components.get("examples").and_then(Value::as_object).cloned().unwrap_or_default();
    examples.extend(moved);
    examples.sort_keys();
    set(components, "examples", json!(examples));
}

/// Calls `found` with each example in a response that is no reference: the operation's id, the example's name, and itself.
fn visit(document: &mut Value, found: &mut impl FnMut(&str, &str, &mut Value)) {
    for (_, item) in entries(document.get_mut("paths")) {
        for (_, operation) in entries(Some(item)) {
            let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default().to_owned();
            visit_responses(operation.get_mut("responses"), &id, found);
        }
    }
    visit_responses(document.pointer_mut("/components/responses"), "", found);
}

fn visit_responses(responses: Option<&mut Value>, operation: &str, found: &mut impl FnMut(&str, &str, &mut Value)) {
    for (_, response) in entries(responses) {
        for (_, media_type) in entries(response.get_mut("content")) {
            let examples = entries(media_type.get_mut("examples")).into_iter();
            for (name, example) in examples.filter(|(_, example)| example.get("$ref").is_none()) {
                found(operation, name, example);
            }
        }
    }
}

/// `BadRequestTenant` for the example `tenant` of a `BAD_REQUEST`.
fn component(name: &str, example: &Value) -> String {
    let code = example.pointer("/value/code").and_then(Value::as_str).unwrap_or_default();
    let words = code.split('_').map(|word| upper_first(&word.to_lowercase())).collect::<String>();
    if name == "default" { words } else { words + &upper_first(name) }
}
