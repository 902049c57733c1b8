//! The message of a type of event.

use serde_json::{Value, json};

/// The message of a type of event.
pub(super) struct Message {
    /// Its name: `CustomerCreated`.
    pub name: String,
    /// The type: `crm.customer.created`.
    pub event_type: String,
    /// What happened.
    pub summary: String,
}

impl Message {
    /// The message as the document describes it.
    pub fn describe(&self) -> Value {
        let key = "What events have in common that stay in order: the tenant and the id of the resource.";
        json!({
            "name": self.name,
            "title": self.event_type,
            "summary": self.summary,
            "contentType": "application/json",
            "headers": { "$ref": "#/components/schemas/MessageHeaders" },
            "payload": { "$ref": format!("#/components/schemas/{}", self.name) },
            "bindings": {
                "amqp": { "messageType": self.event_type, "bindingVersion": "0.3.0" },
                "kafka": { "key": { "type": "string", "description": key }, "bindingVersion": "0.5.0" },
            },
        })
    }
}

/// `ErpContractSigned` for `erp.contract.signed`.
pub(super) fn pascal_case(event_type: &str) -> String {
    event_type.split('.').map(capital).collect()
}

/// The word with a capital.
pub(super) fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
    first.to_uppercase() + rest
}

/// A reference into the document.
pub(super) fn reference(of: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/{of}/{name}") })
}
