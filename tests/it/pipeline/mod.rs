//! The pipeline: its totals, the history of stages, what is stalled, and how it is reported.

mod history;
mod model;
mod reports;
mod stalled;
mod totals;

use serde_json::{Value, json};

use crate::harness::{Call, FAR_FUTURE, Service};

/// A request whose token outlasts the clock of these tests.
pub fn lasting<'s>(call: Call<'s>) -> Call<'s> {
    let scope = "crm:read crm:write crm:pii:read crm:pii:erase crm:audit:read";
    call.claims(json!({ "sub": "li.lei", "scope": scope, "exp": FAR_FUTURE }))
}

pub async fn read(service: &Service, path: &str) -> Value {
    lasting(service.get(path)).send_unchecked().await.expect(200).body
}

pub async fn patch(service: &Service, path: &str, body: Value) -> Value {
    lasting(service.patch(path, body)).send().await.expect(200).body
}
