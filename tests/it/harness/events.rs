//! Events, whichever way they travel.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{id, on_postgres};

/// Fails unless the event conforms to the schema of its type.
pub fn assert_event_schema(document: &Value, event: &Value) {
    let event_type = event["eventType"].as_str().unwrap();
    let messages = document["components"]["messages"].as_object().unwrap();
    let message = messages.values().find(|message| message["title"] == event_type).unwrap();
    let schema = json!({
        "$ref": message["payload"]["$ref"],
        "components": { "schemas": document["components"]["schemas"] },
    });
    let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft7).build(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(event).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{event} does not conform to {event_type}: {errors:?}");
}

/// The last version seen of each customer.
#[derive(Default)]
pub struct CustomerVersions(HashMap<String, i64>);

impl CustomerVersions {
    /// Fails unless this is the customer's next version; returns the customer's id.
    pub fn assert_next(&mut self, event: &Value) -> String {
        let customer = id(&event["data"]["resource"], "customerId");
        let last = self.0.entry(customer.clone()).or_default();
        *last += 1;
        assert_eq!(event["data"]["version"], *last, "of {customer}");
        customer
    }
}

/// The event `oa.task.completed` about a customer.
pub fn task_completed(number: usize, customer: &str) -> Value {
    let data = json!({ "tenantId": "default", "customerId": customer, "title": format!("Task {number}") });
    json!({ "eventId": format!("e{number}"), "eventType": "oa.task.completed", "timestamp": "2026-01-31T09:30:00Z",
        "source": "oa", "traceId": "x", "data": data })
}

/// Each of these damages a row of the outbox, so that it cannot be read as an event.
pub fn damages() -> &'static [&'static str] {
    match on_postgres() {
        true => &["data = '?'", "occurred_at = '-infinity'"],
        false => &[
            "data = '?'",
            "aggregate_id = x'0102'",
            "event_id = x'0102'",
            "occurred_at = '2026'",
            "tenant_id = x'ff'",
            "event_type = x'ff'",
            "trace_id = x'ff'",
            "version = 'x'",
        ],
    }
}
