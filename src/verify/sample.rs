//! The customer that a walk makes for itself, where it may.

use reqwest::Method;
use serde_json::{Value, json};

use super::{client::Client, line::ensure, target::Caller};
use crate::values::{Clock, IdSource};

/// The phone number of the customer, as it is written and as no reply and no stored row may hold it without need. It is of a range
/// that is given to nobody.
const PHONE: &str = "+44 1632 960 417";
pub(super) const PHONE_DIGITS: &str = "1632960417";

/// The customer.
pub(super) struct Sample {
    /// Its address below the base.
    pub path: String,
    pub id: String,
    /// The id of the request that made it.
    pub request_id: String,
    /// `Location` of the reply.
    pub location: String,
    pub email: String,
    pub body: Value,
}

/// An id that no other request has.
pub(super) fn new_id() -> String {
    IdSource::random(Clock::System).next().to_string()
}

/// The body of a new customer, and its e-mail address.
pub(super) fn body() -> (Value, String) {
    let email = format!("verify.{}@example.com", new_id().replace('-', ""));
    (json!({ "name": "crm verify", "contactPhone": PHONE, "contactEmail": email }), email)
}

impl Sample {
    /// Makes the customer.
    pub async fn create(client: &Client, caller: &Caller) -> Result<Self, String> {
        let ((body, email), request_id) = (body(), new_id());
        let create = client.ask(Method::POST, "/customers").by(caller).request_id(&request_id).json(&body);
        let reply = create.send().await?.expect(&[201])?;
        let id = reply.field("customerId").ok_or("POST /customers: the reply has no customerId")?.to_owned();
        let location = reply.header("Location").ok_or("POST /customers: the reply has no Location")?.to_owned();
        Ok(Self { path: format!("/customers/{id}"), id, request_id, location, email, body })
    }

    /// Deletes the customer again.
    pub async fn delete(&self, client: &Client, caller: &Caller) -> Result<(), String> {
        let reply = client.ask(Method::DELETE, &self.path).by(caller).send().await?;
        ensure([204, 404].contains(&reply.status), || {
            format!("the customer {} could not be deleted again: {}", self.id, reply.shown())
        })
    }
}
