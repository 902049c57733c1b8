//! Fills a database by the service itself: each step of the history is a request to it, at its time.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use poem::{Endpoint, Request, Response, http::Method};
use serde_json::{Value, json};

use super::history::{Action, Handle, Step, history, times};
use crate::{
    app::App,
    audit::{AuditQueue, chain},
    auth::{DevelopmentToken, sign},
    broker::RetryPolicy,
    config::DemoConfig,
    database::{self, horizon, migrate},
    inbound::Inbound,
    service::{resources::removals, service},
    values::{Clock, IdSource, ManualClock, Timestamp},
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The scopes of those who look after the customers.
const SCOPE: &str = "crm:read crm:write";
/// How long their tokens are valid: longer than the history is.
const VALID: Duration = Duration::from_secs(365 * 86_400);

/// A tenant, and how many customers it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilledTenant {
    /// The tenant's name.
    pub name: String,
    /// Its customers.
    pub customers: usize,
}

/// Makes the database of the demo, as if its customers had been looked after until `now`.
///
/// # Errors
/// A database that cannot be made, or a request that was refused.
pub async fn fill(demo: &DemoConfig, now: Timestamp) -> Outcome<Vec<FilledTenant>> {
    let config = &demo.config;
    migrate::up_to_date(config.schema_url(), config.database_wait).await?;
    let steps = history()?;
    let times = times(&steps, now.0);
    let clock = ManualClock::default();
    clock.now.store(times.first().map_or(0, DateTime::timestamp_millis), Ordering::SeqCst);
    let (reads, ids) = (Clock::Manual(clock.clone()), IdSource::random(Clock::Manual(clock.clone())));
    let app = App::open(config.clone(), (reads, ids), AuditQueue::default(), removals(), database::COMMAND).await?;

    let mut writer = Writer { demo, service: service(&app), app: &app, tokens: HashMap::new(), ids: HashMap::new() };
    let mut customers: BTreeMap<String, usize> = BTreeMap::new();
    for (step, time) in steps.into_iter().zip(times) {
        if matches!(step.action, Action::Create { collection: "/customers", .. }) {
            *customers.entry(step.tenant.clone()).or_default() += 1;
        }
        clock.now.store(time.timestamp_millis(), Ordering::SeqCst);
        writer.take(step, time).await?;
    }
    drop(writer);
    chain::link_entries(app.database()).await.map_err(fault)?;
    // Otherwise the retention would take the days since the last step for a clock that was set forward.
    horizon::confirm(app.database(), now.0).await.map_err(fault)?;
    app.database().close().await?;
    Ok(customers.into_iter().map(|(name, customers)| FilledTenant { name, customers }).collect())
}

/// Sends the requests.
struct Writer<'a, S> {
    demo: &'a DemoConfig,
    app: &'a App,
    service: S,
    /// By tenant and actor.
    tokens: HashMap<(String, String), String>,
    ids: HashMap<Handle, String>,
}

impl<S: Endpoint<Output = Response>> Writer<'_, S> {
    async fn take(&mut self, step: Step, time: DateTime<Utc>) -> Outcome<()> {
        let Step { tenant, actor, action, .. } = step;
        match action {
            Action::Create { resource, collection, id, mut body, references } => {
                for (field, referred) in references {
                    let referred = Value::from(self.id(referred)?);
                    body.as_object_mut().ok_or("a body is no object")?.insert(field.to_owned(), referred);
                }
                let token = self.token(tenant, actor, time)?;
                let created = self.send(Method::POST, collection, &token, &body).await?;
                let id = created.get(id).and_then(Value::as_str).ok_or("a reply without an id")?;
                self.ids.insert(resource, id.to_owned());
            }
            Action::Move { opportunity, stage } => {
                let path = format!("/opportunities/{}", self.id(opportunity)?);
                let token = self.token(tenant, actor, time)?;
                self.send(Method::PATCH, &path, &token, &json!({ "stage": stage })).await?;
            }
            Action::Sign { customer, opportunity } => {
                let data = json!({
                    "tenantId": tenant,
                    "customerId": self.id(customer)?,
                    "opportunityId": self.id(opportunity)?,
                });
                self.sign(&data, time).await?;
            }
        }
        Ok(())
    }

    /// Takes the platform's event that the contract is signed.
    async fn sign(&self, data: &Value, time: DateTime<Utc>) -> Outcome<()> {
        let event = json!({
            "eventId": self.app.new_id(),
            "eventType": "erp.contract.signed",
            "timestamp": Timestamp(time),
            "source": "erp",
            "data": data,
        });
        let inbound = Inbound {
            changes: self.app.changes().clone(),
            ids: Arc::clone(self.app.ids()),
            metrics: Arc::clone(self.app.metrics()),
            retry_policy: RetryPolicy::default(),
        };
        inbound.apply(event.to_string().as_bytes()).await.map_err(fault)?;
        Ok(())
    }

    /// Sends a request of a new id, which must succeed.
    async fn send(&self, method: Method, path: &str, token: &str, body: &Value) -> Outcome<Value> {
        let request = Request::builder()
            .method(method)
            .uri_str(path)
            .header("Authorization", format!("Bearer {token}"))
            .header("X-Request-ID", self.app.new_id().to_string())
            .content_type("application/json")
            .body(body.to_string());
        let mut response = self.service.get_response(request).await;
        let text = response.take_body().into_string().await?;
        match response.status().is_success() {
            true => Ok(serde_json::from_str(&text)?),
            false => Err(format!("the demo cannot be filled: {path}: {body} was answered {text}").into()),
        }
    }

    fn id(&self, resource: Handle) -> Outcome<&str> {
        Ok(self
            .ids
            .get(&resource)
            .ok_or("the demo cannot be filled: a resource is referred to before it is created")?)
    }

    /// The token of somebody who looks after customers, issued when it is first needed.
    fn token(&mut self, tenant: String, actor: String, time: DateTime<Utc>) -> Outcome<String> {
        let DemoConfig { config, token_secret, .. } = self.demo;
        let key = (tenant, actor);
        if let Some(token) = self.tokens.get(&key) {
            return Ok(token.clone());
        }
        let (tenant, subject) = (Some(key.0.as_str()), key.1.as_str());
        let claims = DevelopmentToken { subject, client: "crm-demo", tenant, scope: Some(SCOPE) };
        let token = sign(token_secret, config, Timestamp(time), VALID, claims)?;
        self.tokens.insert(key, token.clone());
        Ok(token)
    }
}

/// What went wrong, with its cause.
fn fault(error: crate::error::Error) -> String {
    let said = error.details().or_else(|| error.cause()).unwrap_or("the database failed");
    format!("the demo cannot be filled: {said}")
}
