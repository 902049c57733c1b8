//! Two documents while they are compared: following references in both, and noting what differs.

use std::collections::BTreeSet;

use serde_json::Value;

use super::difference::{Difference, Effect, Place};

const NOTHING: &Value = &Value::Null;

/// Longer chains of references are circles.
const MAX_REFERENCES: usize = 16;

/// Two documents, and the differences that were found so far.
pub(super) struct Comparison<'a> {
    pub old: &'a Value,
    pub new: &'a Value,
    found: Vec<Difference>,
    /// The component schemas that operations led to.
    pub reached: BTreeSet<&'a str>,
    /// The query parameters that the operation which is looked at has got and does not require.
    pub new_parameters: Vec<&'a str>,
}

/// A part of a document behind its references.
#[derive(Clone)]
pub(super) struct Resolved<'a> {
    pub value: &'a Value,
    /// The name of the component, if it is one.
    pub name: Option<&'a str>,
    pub pointer: String,
}

impl<'a> Comparison<'a> {
    pub fn new(old: &'a Value, new: &'a Value) -> Self {
        Self { old, new, found: Vec::new(), reached: BTreeSet::new(), new_parameters: Vec::new() }
    }

    pub fn into_found(self) -> Vec<Difference> {
        self.found
    }

    /// Notes a difference, once for all operations that lead to the same component.
    pub fn note(&mut self, place: &Place, effect: Effect, reason: impl Into<String>) {
        let reason = reason.into();
        let pointers = (place.old.clone(), place.new.clone());
        let operations: Vec<String> =
            Some(&place.operation).filter(|operation| !operation.is_empty()).cloned().into_iter().collect();
        let known =
            |known: &&mut Difference| known.pointers == pointers && known.effect == effect && known.reason == reason;
        if let Some(known) = self.found.iter_mut().find(known) {
            known
                .operations
                .extend(operations.into_iter().filter(|new| !known.operations.contains(new)).collect::<Vec<_>>());
            return;
        }
        self.found.push(Difference {
            operations,
            field: place.field.trim_end_matches(": ").to_owned(),
            effect,
            reason,
            pointers,
        });
    }

    /// Whether a difference was noted at or below a place.
    pub fn is_noted_below(&self, place: &Place) -> bool {
        self.found
            .iter()
            .any(|known| is_within(&known.pointers.0, &place.old) || is_within(&known.pointers.1, &place.new))
    }

    /// Follows the references of a part of both documents.
    pub fn resolve(&self, old: &'a Value, new: &'a Value, place: &Place) -> (Resolved<'a>, Resolved<'a>, Place) {
        let old = follow(self.old, old, &place.old);
        let new = follow(self.new, new, &place.new);
        let place = place.moved(&old.pointer, &new.pointer);
        (old, new, place)
    }

    /// Judges a key that documents what it stands on, or that no rule knows; the place is that of the key.
    pub fn annotation(&mut self, place: &Place, key: &str, old: Option<&Value>, new: Option<&Value>) {
        if old == new || (key == "examples" && self.same_examples(old, new)) {
            return;
        }
        match key {
            "examples" => self.note(place, Effect::Documentation, "the examples differ"),
            "description" | "summary" | "title" | "example" | "externalDocs" => {
                self.note(place, Effect::Documentation, format!("the {key} differs"));
            }
            "deprecated" if new == Some(&Value::Bool(true)) => {
                self.note(place, Effect::Compatible, "it is deprecated now");
            }
            "deprecated" => self.note(place, Effect::Documentation, "it is no longer deprecated"),
            _ if key.starts_with("x-") => self.note(place, Effect::Documentation, format!("`{key}` differs")),
            _ => self.note(place, Effect::Breaking, format!("`{key}` differs, and no rule allows that")),
        }
    }

    /// Whether examples are the same by name, wherever they stand: here, or among the components.
    fn same_examples(&self, old: Option<&Value>, new: Option<&Value>) -> bool {
        let same = |old: &Value, new: &Value| follow(self.old, old, "").value == follow(self.new, new, "").value;
        pairs(old, new).into_iter().all(|(_, old, new)| old.zip(new).is_some_and(|(old, new)| same(old, new)))
            && [old, new].iter().all(|examples| examples.is_some_and(Value::is_object))
    }
}

/// Follows the references of a part of a document. What leads nowhere is null.
pub(super) fn follow<'a>(document: &'a Value, part: &'a Value, pointer: &str) -> Resolved<'a> {
    let mut resolved = Resolved { value: part, name: None, pointer: pointer.to_owned() };
    for _ in 0..MAX_REFERENCES {
        let Some(reference) = resolved.value.get("$ref").and_then(Value::as_str) else { return resolved };
        let value = reference.strip_prefix('#').and_then(|path| document.pointer(path)).unwrap_or(NOTHING);
        resolved = Resolved { value, name: reference.rsplit('/').next(), pointer: reference.to_owned() };
    }
    Resolved { value: NOTHING, ..resolved }
}

/// The entries of two objects, by key: those of the older in its order, then those that only the newer has.
pub(super) fn pairs<'a>(
    old: Option<&'a Value>,
    new: Option<&'a Value>,
) -> Vec<(&'a str, Option<&'a Value>, Option<&'a Value>)> {
    let entries = |value: Option<&'a Value>| value.and_then(Value::as_object).into_iter().flatten();
    let first = entries(old).map(|(key, value)| (key.as_str(), Some(value), new.and_then(|new| new.get(key))));
    let added = entries(new)
        .filter(|(key, _)| old.and_then(|old| old.get(key)).is_none())
        .map(|(key, value)| (key.as_str(), None, Some(value)));
    first.chain(added).collect()
}

/// The elements of an array; none for any other value.
pub(super) fn elements(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// The texts in an array.
pub(super) fn texts(value: Option<&Value>) -> Vec<&str> {
    elements(value).filter_map(Value::as_str).collect()
}

/// Whether a JSON pointer leads to a place or below it.
pub(super) fn is_within(pointer: &str, place: &str) -> bool {
    pointer.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
