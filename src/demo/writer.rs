//! Takes the steps of a history: requests to the service itself, and events of the platform.

use std::{collections::HashMap, error::Error, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use poem::{Endpoint, Request, Response, http::Method};
use serde_json::{Value, json};

use super::history::{Action, Handle, Step};
use crate::{
    app::App,
    auth::{DevelopmentToken, sign},
    broker::RetryPolicy,
    config::Secret,
    inbound::Inbound,
    values::{Tenant, Timestamp},
};

pub(super) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The scopes of those who look after the customers.
const SCOPE: &str = "crm:read crm:write";
/// How long their tokens are valid: longer than any history is.
const VALID: Duration = Duration::from_secs(365 * 86_400);

/// Sends the requests.
pub(super) struct Writer<'a, S> {
    app: &'a App,
    service: &'a S,
    /// What the service verifies tokens with.
    secret: &'a Secret,
    /// As which client those who look after the customers send requests.
    client: &'static str,
    /// By tenant and actor.
    tokens: HashMap<(String, String), String>,
    ids: HashMap<Handle, String>,
}

impl<'a, S: Endpoint<Output = Response>> Writer<'a, S> {
    pub fn new(app: &'a App, service: &'a S, secret: &'a Secret, client: &'static str) -> Self {
        Self { app, service, secret, client, tokens: HashMap::new(), ids: HashMap::new() }
    }

    /// Whether a step that is a request was taken under this id; if it made a resource, later steps may refer to that.
    pub async fn was_taken(&mut self, step: &Step, request_id: &str) -> Outcome<bool> {
        let tenant = Tenant::parse(&step.tenant).ok_or("a tenant has the wrong form")?;
        let Some(receipt) = self.app.changes().receipt(&tenant, request_id).await.map_err(fault)? else {
            return Ok(false);
        };
        if let Action::Create { resource, .. } = step.action {
            self.ids.insert(resource, receipt.resource.id.to_string());
        }
        Ok(true)
    }

    /// Takes a step at its time.
    pub async fn take(&mut self, step: Step, time: DateTime<Utc>, request_id: String) -> Outcome<()> {
        let Step { tenant, actor, action, .. } = step;
        match action {
            Action::Create { resource, collection, id, mut body, references } => {
                for (field, referred) in references {
                    let referred = Value::from(self.id(referred)?);
                    body.as_object_mut().ok_or("a body is no object")?.insert(field.to_owned(), referred);
                }
                let token = self.token(tenant, actor, time)?;
                let created = self.send((Method::POST, collection), &token, &request_id, &body).await?;
                let id = created.get(id).and_then(Value::as_str).ok_or("a reply without an id")?;
                self.ids.insert(resource, id.to_owned());
            }
            Action::Move { opportunity, stage } => {
                let path = format!("/opportunities/{}", self.id(opportunity)?);
                let token = self.token(tenant, actor, time)?;
                self.send((Method::PATCH, &path), &token, &request_id, &json!({ "stage": stage })).await?;
            }
            Action::Sign { customer, opportunity } => {
                let data = json!({
                    "tenantId": tenant,
                    "customerId": self.id(customer)?,
                    "opportunityId": self.id(opportunity)?,
                });
                self.sign(&data, time, &request_id).await?;
            }
        }
        Ok(())
    }

    /// Takes the platform's event that the contract is signed.
    async fn sign(&self, data: &Value, time: DateTime<Utc>, event_id: &str) -> Outcome<()> {
        let event = json!({
            "eventId": event_id,
            "eventType": "erp.contract.signed",
            "timestamp": Timestamp(time),
            "source": "erp",
            "data": data,
        });
        let inbound = Inbound {
            changes: self.app.changes().clone(),
            ids: Arc::clone(self.app.ids()),
            metrics: Arc::clone(self.app.metrics()),
            spans: self.app.spans().clone(),
            retry_policy: RetryPolicy::default(),
        };
        inbound.apply(event.to_string().as_bytes()).await.map_err(fault)?;
        Ok(())
    }

    /// Sends a request, which must succeed.
    async fn send(
        &self,
        (method, path): (Method, &str),
        token: &str,
        request_id: &str,
        body: &Value,
    ) -> Outcome<Value> {
        let request = Request::builder()
            .method(method)
            .uri_str(path)
            .header("Authorization", format!("Bearer {token}"))
            .header("X-Request-ID", request_id)
            .content_type("application/json")
            .body(body.to_string());
        let mut response = self.service.get_response(request).await;
        let text = response.take_body().into_string().await?;
        match response.status().is_success() {
            true => Ok(serde_json::from_str(&text)?),
            false => Err(format!("the customers cannot be written: {path}: {body} was answered {text}").into()),
        }
    }

    fn id(&self, resource: Handle) -> Outcome<&str> {
        Ok(self
            .ids
            .get(&resource)
            .ok_or("the customers cannot be written: a resource is referred to before it is created")?)
    }

    /// The token of somebody who looks after customers, issued when it is first needed.
    fn token(&mut self, tenant: String, actor: String, time: DateTime<Utc>) -> Outcome<String> {
        let key = (tenant, actor);
        if let Some(token) = self.tokens.get(&key) {
            return Ok(token.clone());
        }
        let (tenant, subject) = (Some(key.0.as_str()), key.1.as_str());
        let claims = DevelopmentToken { subject, client: self.client, tenant, scope: Some(SCOPE) };
        let token = sign(self.secret, self.app.config(), Timestamp(time), VALID, claims)?;
        self.tokens.insert(key, token.clone());
        Ok(token)
    }
}

/// What went wrong, with its cause.
pub(super) fn fault(error: crate::error::Error) -> String {
    let said = error.details().or_else(|| error.cause()).unwrap_or("the database failed");
    format!("the customers cannot be written: {said}")
}
