//! Searching by parts of names, titles and contents.

mod index;
mod words;

use serde_json::{Value, json};

use crate::harness::{Service, fields, id};

/// A text as it is sent in a query.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn search(service: &Service, q: &str) -> Value {
    service.read(&format!("/search?limit=50&q={}", encoded(q))).await
}

/// The ids of what is found.
async fn found(service: &Service, q: &str) -> Vec<String> {
    fields(&search(service, q).await, "resourceId").into_iter().map(str::to_owned).collect()
}

async fn customer(service: &Service, name: &str) -> String {
    id(&service.create("/customers", json!({ "name": name })).await, "customerId")
}
