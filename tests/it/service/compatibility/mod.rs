//! Which contract may take the place of which: changes of the real document, each with its word.

mod additions;
mod events;
mod notation;
mod replies;
mod requests;
mod whole;

use crm::service::{
    compatibility::{
        Verdict::{self, Compatible, Identical},
        compare,
    },
    contract::contract,
};
use serde_json::{Value, json};

/// A change of a document.
type Mutation = fn(&mut Value);

/// The part of a document behind a JSON pointer, which must be there.
fn at<'d>(document: &'d mut Value, pointer: &str) -> &'d mut Value {
    document.pointer_mut(pointer).unwrap_or_else(|| panic!("there is no {pointer}"))
}

fn put(document: &mut Value, pointer: &str, value: Value) {
    let (above, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/");
    at(document, above).as_object_mut().unwrap_or_else(|| panic!("no object at {above}")).insert(key, value);
}

fn drop_key(document: &mut Value, pointer: &str) -> Value {
    let (above, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    let removed = at(document, above).as_object_mut().unwrap().shift_remove(&key);
    removed.unwrap_or_else(|| panic!("there is no {pointer}"))
}

fn rename(document: &mut Value, from: &str, to: &str) {
    let value = drop_key(document, from);
    put(document, to, value);
}

fn push(document: &mut Value, pointer: &str, value: Value) {
    at(document, pointer).as_array_mut().unwrap_or_else(|| panic!("no array at {pointer}")).push(value);
}

/// Takes an element out of an array.
fn pull(document: &mut Value, pointer: &str, value: &Value) {
    let array = at(document, pointer).as_array_mut().unwrap();
    let position = array.iter().position(|known| known == value).unwrap_or_else(|| panic!("{pointer} has no {value}"));
    array.remove(position);
}

/// The query parameter of the list of contacts.
fn parameter<'d>(document: &'d mut Value, name: &str) -> &'d mut Value {
    let all = at(document, "/paths/~1contacts/get/parameters").as_array_mut().unwrap();
    all.iter_mut().find(|one| one["name"] == name).unwrap()
}

fn retain_parameters(document: &mut Value, keep: impl Fn(&Value) -> bool) {
    at(document, "/paths/~1contacts/get/parameters").as_array_mut().unwrap().retain(keep);
}

fn add_parameter(document: &mut Value, location: &str, is_required: bool) {
    let parameter =
        json!({ "name": "X-Extra", "in": location, "required": is_required, "schema": { "type": "string" } });
    push(document, "/paths/~1contacts/get/parameters", parameter);
}

const SCHEMAS: &str = "/components/schemas";
const FLOW: &str = "/components/securitySchemes/oauth2/flows/clientCredentials";

fn schema(rest: &str) -> String {
    format!("{SCHEMAS}/{rest}")
}

/// Applies a mutation and judges the outcome; the message names the row.
#[track_caller]
fn assert_word(name: &str, original: &Value, mutation: Mutation, word: Verdict) {
    let mut changed = original.clone();
    mutation(&mut changed);
    assert_ne!((&changed, word), (original, Compatible), "{name}: nothing was changed");
    let outcome = compare(original, &changed);
    assert_eq!(outcome.verdict, word, "{name}: {:#?}", outcome.differences);
    assert_eq!(outcome.differences.is_empty(), word == Identical, "{name}");
}

#[track_caller]
fn assert_words(original: &Value, word: Verdict, rows: &[(&str, Mutation)]) {
    for (name, mutation) in rows {
        assert_word(name, original, *mutation, word);
    }
}

fn api() -> Value {
    contract().document().clone()
}

/// The contract with one part changed beforehand, as an older one might have been.
fn prepared(prepare: Mutation) -> Value {
    let mut document = api();
    prepare(&mut document);
    document
}
