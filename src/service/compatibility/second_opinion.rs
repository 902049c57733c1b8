//! A second look at both documents, by the library `drift`.
//!
//! It does not see headers, security, servers, names or whether something may be null, and leaves most of what schemas say
//! undecided. But it knows nothing of the rules here: what it finds where they found nothing is a gap in them, and breaking.

use std::panic::{AssertUnwindSafe, catch_unwind};

use drift::{Change, ChangeClass};
use serde_json::{Map, Value};

use super::{
    comparison::is_within,
    difference::{Difference, Effect, Verdict},
};

/// What the library finds in two OpenAPI documents, without what was found already.
pub(super) fn unexplained(old: &Value, new: &Value, found: &[Difference]) -> Vec<Difference> {
    // It asserts that both have the same media types. And what is breaking anyway needs no second opinion.
    let has_other_media_types = found.iter().any(|difference| difference.pointers.0.ends_with("/content"));
    if has_other_media_types || Verdict::on(found) == Verdict::Breaking {
        return Vec::new();
    }
    match catch_unwind(AssertUnwindSafe(|| drift::compare(&lowered(old), &lowered(new)))) {
        Ok(Ok(changes)) => changes.iter().flat_map(|change| of_change(change, found)).collect(),
        Ok(Err(error)) => vec![breaking(String::new(), format!("the documents cannot be compared: {error:#}"))],
        Err(_) => vec![breaking(String::new(), "the documents cannot be compared".to_owned())],
    }
}

/// A document with the names of headers in lower case: the library takes another spelling for another parameter.
fn lowered(part: &Value) -> Value {
    match part {
        Value::Object(object) => {
            let is_header = object.get("in").and_then(Value::as_str) == Some("header");
            let entries = object.iter().map(|(key, value)| match value {
                Value::String(name) if is_header && key == "name" => (key.clone(), name.to_lowercase().into()),
                _ => (key.clone(), lowered(value)),
            });
            entries.collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(lowered).collect(),
        _ => part.clone(),
    }
}

fn of_change(change: &Change, found: &[Difference]) -> Vec<Difference> {
    let Some(path) = change.paths.first() else { return Vec::new() };
    let (old, new) = (path.old.current_pointer(), path.new.current_pointer());
    let is_explained = |old: &str, new: &str| {
        found.iter().any(|known| is_within(&known.pointers.0, old) && is_within(&known.pointers.1, new))
    };
    let mut unexplained = Vec::new();
    for info in change.changes.iter().filter(|info| info.class != ChangeClass::Trivial) {
        let (old, new) = (joined(old, &info.old_subpath), joined(new, &info.new_subpath));
        if info.class != ChangeClass::ForwardIncompatible && !is_explained(&old, &new) {
            unexplained.push(breaking(new, info.message.clone()));
        }
    }
    unexplained
}

fn breaking(place: String, reason: String) -> Difference {
    Difference { operations: Vec::new(), field: place, effect: Effect::Breaking, reason, pointers: Default::default() }
}

/// The address of a place below another; the library has a word of its own for request bodies.
fn joined(base: &str, below: &str) -> String {
    let separator = if below.is_empty() { "" } else { "/" };
    format!("{base}{separator}{below}").replace("/request_body", "/requestBody")
}
