//! How a test drives the service: [`Service::start`] starts one in process, with a database, a clock and ids of its
//! own; [`Call`] is a request, [`Reply`] its answer. Every reply is checked against the contract before the test sees
//! it. [`Process`] is the binary, for what needs a process.
//!
//! `TEST_DATABASE` chooses the database: `sqlite` (the default) or `postgres`, at `TEST_POSTGRES_URL`.

pub mod audit;
pub mod broker;
pub mod certificates;
pub mod collector;
pub mod contract;
pub mod contract_walk;
pub mod counts;
mod database;
pub mod disk;
mod durability;
pub mod events;
mod log;
pub mod metrics;
pub mod platform;
pub mod postgres;
mod process;
mod proxy;
pub mod rabbitmq;
pub mod random;
mod secrets;
pub mod sql;
mod stored_pii;
mod time;
mod writes;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use crm::{
    app::App,
    audit::AuditQueue,
    broker::RetryPolicy,
    config::Config,
    database::REQUEST,
    http::{
        caller::{Caller, CanWrite},
        rate::RateLimits,
    },
    inbound::Inbound,
    service::{self, authenticator, resources::removals},
    values::{Clock, IdSource, ManualClock},
};
use poem::{
    Body, Endpoint, Request, Response,
    endpoint::{DynEndpoint, ToDynEndpoint},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
};
use poem_openapi::{ApiExtractor, ExtractParamOptions};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

pub use contract::Contract;
pub use database::{TestDatabase, on_postgres, on_server, variable};
pub use durability::{assert_consistent, assert_durable, assert_totals_right};
pub use log::Log;
pub use process::{
    Client, CommandOutput, Process, SERVER, TESTED, command, run, run_crm, signal, start_and_stop,
    start_and_stop_developing,
};
pub use proxy::{Proxy, free_port};
pub use secrets::write_secret;
pub use stored_pii::{StoredPii, stored_bytes};
pub use time::{AMPLE, DAY, median, within};
pub use writes::{Load, Write, WriteHistory};

/// The secret that signs tokens.
pub const SECRET: &str = "a secret for tests, longer than 32 bytes";

/// The key that encrypts personal data.
pub const PII_KEYS: &str = "test:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// The instant at which every clock starts, in milliseconds: 2026-01-31T09:30:00.125Z.
pub const START: i64 = 1_769_851_800_125;

/// A claim `exp` that no clock reaches: in the year 9999.
pub const FAR_FUTURE: i64 = 253_370_764_800;

/// An id of the right form that no resource has.
pub const UNKNOWN_ID: &str = "019aa5c8-7d40-7c1e-b3a2-5f0e6d1c2b3a";

/// A service in this process.
pub struct Service {
    pub app: App,
    pub database: TestDatabase,
    pub contract: &'static Contract,
    endpoint: Arc<dyn DynEndpoint<Output = Response>>,
    clock: ManualClock,
    requests: AtomicU64,
}

impl Service {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A service with these variables set.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        Self::on(TestDatabase::migrated().await, variables).await
    }

    /// The same service with other operations behind its middleware.
    pub fn with_operations(mut self, operations: impl Endpoint + 'static) -> Self {
        self.endpoint = Arc::new(ToDynEndpoint(service::service_with(&self.app, operations)));
        self
    }

    pub async fn on(database: TestDatabase, variables: &[(&str, &str)]) -> Self {
        Self::with_audit_queue(database, variables, AuditQueue::default()).await
    }

    pub async fn with_audit_queue(database: TestDatabase, variables: &[(&str, &str)], audit_queue: AuditQueue) -> Self {
        let clock = ManualClock { now: Arc::new(AtomicI64::new(START)), ..ManualClock::default() };
        Self::at(clock, database, variables, audit_queue, 1).await
    }

    /// The same service after a restart, in which the clock was set forward or back by so many milliseconds.
    pub async fn restart(self, millis: i64) -> Self {
        self.app.database().close().await.unwrap();
        self.set_clock(millis);
        let first_id = self.app.new_id().as_u128() as u32;
        Self::at(self.clock, self.database, &[], AuditQueue::default(), u64::from(first_id)).await
    }

    async fn at(
        clock: ManualClock,
        database: TestDatabase,
        variables: &[(&str, &str)],
        audit_queue: AuditQueue,
        first_id: u64,
    ) -> Self {
        let config = config(&database, variables);
        database.migrate().await;
        let app = app(config, clock.clone(), audit_queue, first_id).await;
        let endpoint = Arc::new(ToDynEndpoint(service::service(&app)));
        Self { app, database, contract: Contract::emitted(), endpoint, clock, requests: AtomicU64::new(first_id) }
    }

    /// Another instance on the same database and clock; `number` keeps its ids apart from those of the others.
    pub async fn another_instance(&self, number: u32) -> App {
        let config = config(&self.database, &[]);
        app(config, self.clock.clone(), AuditQueue::default(), u64::from(number) << 32).await
    }

    /// What consumes the platform's events.
    pub fn inbound(&self) -> Inbound {
        let (changes, ids, metrics) = (self.app.changes(), self.app.ids(), self.app.metrics());
        let retry_policy = RetryPolicy { pause: std::time::Duration::from_millis(200), retries: 5 };
        let (ids, metrics, spans) = (Arc::clone(ids), Arc::clone(metrics), self.app.spans().clone());
        Inbound { changes: changes.clone(), ids, metrics, spans, retry_policy }
    }

    /// How many of the platform's events ended so, by the metrics.
    pub fn inbound_count(&self, outcome: &str) -> usize {
        let name = format!("crm_inbound_events_total{{outcome=\"{outcome}\"}} ");
        let text = self.app.metrics().text();
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default()
    }

    /// Takes all steps that remove what is deleted.
    pub async fn remove_deleted(&self) {
        let changes = self.app.changes();
        for _ in 0..10_000 {
            let deletions = changes.deletions(None).await.unwrap();
            if deletions.is_empty() {
                return;
            }
            for deletion in deletions {
                changes.remove(deletion, 500).await.unwrap();
            }
        }
        panic!("the removal does not come to an end");
    }

    /// What is in memory of the database is read anew, because somebody else has written.
    pub async fn forget_what_is_kept(&self) {
        // SQLite writes nothing where a row stays as it is.
        let writes = "UPDATE outbox_head SET position = position + 1; UPDATE outbox_head SET position = position - 1";
        self.database.connect().await.execute_unprepared(writes).await.unwrap();
    }

    /// Lets time pass, and the clock with it; where it is negative, sets the clock back.
    pub fn advance(&self, millis: i64) {
        self.set_clock(millis);
        self.clock.passed.fetch_add(millis.max(0), Ordering::SeqCst);
    }

    /// Sets the clock forward or back by so many milliseconds, in which no time passes.
    pub fn set_clock(&self, millis: i64) {
        self.clock.now.fetch_add(millis, Ordering::SeqCst);
    }

    pub fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    /// A POST with a new request id.
    pub fn post(&self, path: &str, body: Value) -> Call<'_> {
        self.call(Method::POST, path).fresh_request_id().json(&body)
    }

    pub fn patch(&self, path: &str, body: Value) -> Call<'_> {
        self.call(Method::PATCH, path).fresh_request_id().json(&body)
    }

    pub fn delete(&self, path: &str) -> Call<'_> {
        self.call(Method::DELETE, path)
    }

    /// A request whose token has every scope.
    pub fn call(&self, method: Method, path: &str) -> Call<'_> {
        let request = Request::builder().method(method).uri_str(format!("/api/v1/crm{path}")).finish();
        Call { service: self, request }
            .token(&token(json!({ "scope": "crm:read crm:write crm:pii:read crm:pii:erase crm:audit:read" })))
    }

    pub async fn create(&self, path: &str, body: Value) -> Value {
        self.post(path, body).send().await.expect(201).body
    }

    pub async fn customer(&self) -> String {
        id(&self.create("/customers", json!({ "name": "Acme" })).await, "customerId")
    }

    pub async fn contact(&self, customer: &str) -> String {
        id(&self.create("/contacts", json!({ "customerId": customer, "name": "Li Lei" })).await, "contactId")
    }

    pub async fn opportunity(&self, customer: &str) -> String {
        let body = json!({ "customerId": customer, "title": "Licence" });
        id(&self.create("/opportunities", body).await, "opportunityId")
    }

    pub async fn follow_up(&self, body: Value) -> String {
        id(&self.create("/follow-ups", body).await, "followUpId")
    }

    pub async fn read(&self, path: &str) -> Value {
        self.get(path).send().await.expect(200).body
    }

    /// The entries of the audit trail that a query finds, newest first; fails if there are more than a page of 100.
    pub async fn trail(&self, query: &str) -> Vec<Value> {
        let auditor = token(json!({ "exp": FAR_FUTURE, "scope": "crm:audit:read" }));
        let list = self.get(&format!("/audit-logs?pageSize=100&{query}")).token(&auditor).send().await.expect(200).body;
        let entries = list["data"].as_array().unwrap();
        assert_eq!(list["total"], entries.len(), "more than a page");
        entries.clone()
    }
}

fn config(database: &TestDatabase, variables: &[(&str, &str)]) -> Config {
    let url = database.service_url();
    let mut environment =
        HashMap::from([("CRM_JWT_SECRET", SECRET), ("CRM_PII_KEYS", PII_KEYS), ("CRM_DATABASE_URL", url.as_str())]);
    environment.extend(variables.iter().copied());
    Config::read(&|name| environment.get(name).map(|value| (*value).to_owned())).0.unwrap()
}

/// A service whose ids count up from `first_id`.
async fn app(config: Config, clock: ManualClock, audit_queue: AuditQueue, first_id: u64) -> App {
    let clock = Clock::Manual(clock);
    let ids = IdSource::sequence(clock.clone(), first_id);
    App::open(config, (clock, ids), audit_queue, removals(), REQUEST).await.unwrap()
}

/// A text field of a body: an id, mostly.
pub fn id(body: &Value, field: &str) -> String {
    body[field].as_str().unwrap_or_else(|| panic!("no {field} in {body}")).to_owned()
}

/// A document of more than a megabyte.
pub const LARGE_DOCUMENT: &str = "/assets/swagger-ui-5.35.0.js";

/// A token with these claims; unless they say otherwise, of `tester` and valid for an hour.
pub fn token(claims: Value) -> String {
    let mut all = json!({ "sub": "tester", "exp": START / 1000 + 3600 });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    sign_hs256(&all, SECRET)
}

pub fn sign_hs256(claims: &Value, secret: &str) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).unwrap()
}

/// A request under construction.
pub struct Call<'s> {
    service: &'s Service,
    request: Request,
}

impl Call<'_> {
    /// Sets a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let (name, value) = (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        self.request.headers_mut().insert(name, value);
        self
    }

    /// Adds a header line, even if there is one by that name.
    pub fn add_header(mut self, name: &str, value: &[u8]) -> Self {
        let (name, value) = (HeaderName::try_from(name).unwrap(), HeaderValue::from_bytes(value).unwrap());
        self.request.headers_mut().append(name, value);
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.request.headers_mut().remove(name);
        self
    }

    pub fn token(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub fn claims(self, claims: Value) -> Self {
        self.token(&token(claims))
    }

    pub fn tenant(self, tenant: &str) -> Self {
        self.header("X-Tenant-Id", tenant)
    }

    pub fn request_id(self, id: &str) -> Self {
        self.header("X-Request-ID", id)
    }

    fn fresh_request_id(self) -> Self {
        let number = self.service.requests.fetch_add(1, Ordering::SeqCst);
        self.request_id(&format!("test-{number}"))
    }

    pub fn json(self, body: &Value) -> Self {
        self.header("Content-Type", "application/json").body(body.to_string())
    }

    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.request.set_body(body);
        self
    }

    /// Adds a query.
    pub fn query(mut self, query: &str) -> Self {
        let separator = if self.request.uri().query().is_some() { '&' } else { '?' };
        let uri = format!("{}{separator}{query}", self.request.uri());
        *self.request.uri_mut() = uri.parse().unwrap();
        self
    }

    /// Takes the prefix off the path, as some gateways do.
    pub fn without_prefix(mut self) -> Self {
        let uri = self.request.uri().to_string();
        *self.request.uri_mut() = uri.strip_prefix("/api/v1/crm").unwrap().parse().unwrap();
        self
    }

    /// Sends the request, and checks the reply against the contract.
    pub async fn send(self) -> Reply {
        let service = self.service;
        let method = self.request.method().clone();
        let path = self.request.uri().path().to_owned();
        let reply = self.send_unchecked().await;
        service.contract.check(&method, &path, &reply);
        reply
    }

    /// Sends the request; for thousands of them, whose checks would take minutes.
    pub async fn send_unchecked(self) -> Reply {
        let mut response = self.service.endpoint.get_response(self.request).await;
        let text = response.take_body().into_string().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Reply { status: response.status(), headers: response.headers().clone(), text, body }
    }

    /// Sends the request; the text of the reply, or that it broke off.
    pub async fn stream(self) -> (Response, Result<String, String>) {
        let mut response = self.service.endpoint.get_response(self.request).await;
        let text = response.take_body().into_string().await.map_err(|error| error.to_string());
        (response, text)
    }

    /// Sends the request; the body of the reply, which is still being written.
    pub async fn reply_body(self) -> Body {
        self.service.endpoint.get_response(self.request).await.take_body()
    }

    /// Sends the request, and drops it after a number of polls, as when the client disconnects.
    pub async fn hang_up_after(self, polls: usize) {
        let mut answer = Box::pin(self.service.endpoint.get_response(self.request));
        for _ in 0..polls {
            tokio::select! {
                biased;
                _ = &mut answer => return,
                () = tokio::task::yield_now() => {}
            }
        }
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Reply {
    /// Fails unless the reply has this status.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    /// Fails unless the reply is an error with these details among its own.
    pub fn refused(self, status: u16, details: &str) -> Self {
        let reply = self.expect(status);
        let given = reply.body["details"].as_str().unwrap_or_default();
        assert!(given.contains(details), "the details are {given:?}, without {details:?}");
        reply
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// The last page of a list, of which so many items are on the pages before it.
pub fn last_page(skipped: usize, data: Vec<Value>) -> Value {
    json!({ "total": skipped + data.len(), "data": data, "totalExact": true, "nextCursor": null })
}

/// A text field of each item of a list.
pub fn fields<'b>(list: &'b Value, field: &str) -> Vec<&'b str> {
    list["data"].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap()).collect()
}

/// A caller who may write, as made from a request.
pub async fn caller(service: &Service) -> Caller<CanWrite> {
    let call = service.get("/customers");
    let mut request = call.request;
    request.set_data(authenticator(&service.app));
    request.set_data(Arc::new(RateLimits::new(None, None, Arc::clone(service.app.metrics()))));
    let (request, mut body) = request.split();
    Caller::from_request(&request, &mut body, ExtractParamOptions::default()).await.unwrap()
}
