//! One notation for what can be written in several ways: whole numbers as integers, and no flag that says what holds anyway.

use serde_json::{Map, Number, Value};

/// The flags that are `false` unless a document says otherwise.
const FLAGS: [&str; 10] = [
    "allowEmptyValue",
    "allowReserved",
    "deprecated",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "nullable",
    "readOnly",
    "required",
    "uniqueItems",
    "writeOnly",
];

/// What is below these, and below extensions, is data, in which `false` is a value like any other.
const DATA: [&str; 6] = ["const", "default", "enum", "example", "examples", "value"];

/// The keys of an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// They mean what the specification says.
    Keywords,
    /// Somebody chose them.
    Names,
    /// They are part of an example or a value.
    Data,
}

/// A document in the notation that documents are compared in.
pub(super) fn normalized(document: &Value) -> Value {
    rewritten(document, Keys::Keywords)
}

fn rewritten(value: &Value, keys: Keys) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.iter().filter(|(key, value)| !(keys == Keys::Keywords && is_idle(key, value)));
            let entries = kept.map(|(key, value)| (key.clone(), rewritten(value, below(keys, key))));
            entries.collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(|item| rewritten(item, keys)).collect(),
        Value::Number(number) => whole(number).map_or_else(|| value.clone(), Value::from),
        _ => value.clone(),
    }
}

fn below(keys: Keys, key: &str) -> Keys {
    match keys {
        Keys::Data => Keys::Data,
        Keys::Keywords if DATA.contains(&key) || key.starts_with("x-") => Keys::Data,
        Keys::Keywords if key == "properties" => Keys::Names,
        Keys::Keywords | Keys::Names => Keys::Keywords,
    }
}

fn is_idle(key: &str, value: &Value) -> bool {
    *value == Value::Bool(false) && FLAGS.contains(&key)
}

/// A number with a fraction of nothing, as an integer.
fn whole(number: &Number) -> Option<i64> {
    let number = number.as_f64().filter(|_| number.is_f64())?;
    // Larger ones stay what they are: not every integer among them is a floating-point number.
    let is_whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    is_whole.then(|| format!("{number:.0}").parse().ok()).flatten()
}
