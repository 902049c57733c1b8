//! The membrane: everything between a connection and an operation, once for all.
//!
//! A request passes, in this order: the request id is read or made ([`request_id`]) · the gateway's prefix is taken off,
//! so that one router serves both mount points · the router · the operation's arguments in order, first the caller
//! ([`caller`]: 401, 403), then headers and query (400), then the body ([`body`]: 415, 413, 400) · the operation.
//! On the way out: a panic becomes a 500 · whatever failed becomes the one error body ([`crate::error`]), and is noted in
//! the audit trail where it was refused to a known caller · request id, trace and response time are set, and
//! `Connection: close` once the service was told to stop · one log line is written.
//!
//! [`contract`] emits the OpenAPI document from the operations; [`server`] listens. [`probes`] and the metrics are also
//! behind a membrane of their own, on the [`private`] listener.

pub mod body;
pub mod caller;
pub mod contract;
pub mod header;
pub mod page;
pub mod private;
pub mod probes;
pub mod query;
pub mod reply;
pub mod request_id;
pub mod server;
pub mod show;

use std::{panic::AssertUnwindSafe, time::Instant};

use futures_util::FutureExt;
use poem::{
    Endpoint, EndpointExt, IntoEndpoint, Request, Response, Route,
    endpoint::make_sync,
    get,
    http::{
        HeaderName, HeaderValue, Uri,
        header::{ALLOW, CONNECTION},
    },
    web::Html,
};
use tracing::{Instrument, field::Empty};

pub use crate::kind::BASE_PATH;
use crate::{
    app::App,
    error::{ApiError, ErrorCode},
    kind::Kind,
    telemetry::{
        metrics,
        trace::{self, Trace},
    },
    values::Id,
};
use caller::Known;
use contract::Contract;

/// The header with the time from the request's first byte to the reply, in milliseconds.
pub const RESPONSE_TIME_HEADER: &str = "X-Response-Time";

/// The whole service as one endpoint.
#[must_use]
pub fn service(app: &App) -> impl Endpoint<Output = Response> + 'static {
    membrane(app, contract::service().into_endpoint())
}

/// The membrane around `operations`.
pub fn membrane(app: &App, operations: impl Endpoint + 'static) -> impl Endpoint<Output = Response> + 'static {
    let contract = Contract::new();
    let (json, yaml, docs) = (contract.json(), contract.yaml(), contract.swagger_ui());
    let documents = Route::new()
        .at("/openapi.json", get(make_sync(move |_| document("application/json", &json))))
        .at("/openapi.yaml", get(make_sync(move |_| document("application/yaml", &yaml))))
        .at("/docs", get(make_sync(move |_| Html(docs.clone()))));
    let operations = operations.data(app.clone());
    Membrane { app: app.clone(), contract, documents, operations }
}

/// What the private listener serves: the probes and the metrics, behind a membrane like the service's.
#[must_use]
pub fn private_service(app: &App) -> impl Endpoint<Output = Response> + 'static {
    let of_metrics = app.clone();
    let metrics = move |_| document(metrics::MEDIA_TYPE, &of_metrics.metrics().text());
    let documents = Route::new().at("/metrics", get(make_sync(metrics)));
    let operations = contract::probes().into_endpoint().data(app.clone());
    Membrane { app: app.clone(), contract: Contract::private(), documents, operations }
}

fn document(media_type: &'static str, text: &str) -> Response {
    Response::builder().content_type(media_type).body(text.to_owned())
}

struct Membrane<O> {
    app: App,
    contract: Contract,
    documents: Route,
    operations: O,
}

impl<O: Endpoint> Endpoint for Membrane<O> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        let received = request_id::Received::of(request.headers(), || self.app.new_id().to_string());
        let request_id = received.id.clone();
        let trace = Trace::of(request.headers(), self.app.new_id());
        let known = Known::default();
        request.extensions_mut().insert(received);
        request.extensions_mut().insert(trace.clone());
        request.extensions_mut().insert(known.clone());
        strip_base_path(&mut request);
        let (method, uri) = (request.method().clone(), request.uri().clone());
        // At the level of errors, so that even a log of nothing else says whose they are.
        let span = tracing::error_span!(
            "request",
            trace_id = trace.id(),
            request_id,
            tenant_id = Empty,
            actor = Empty,
            %method,
        );

        let answer = async {
            let handled = AssertUnwindSafe(self.route(request)).catch_unwind().await;
            let response = handled.unwrap_or_else(|_| poem::Error::from(ApiError::internal("a panic")).into_response());
            let route = self.contract.route(uri.path()).unwrap_or("none");
            let mut response = match error_of(&response) {
                Some(error) => {
                    log(&error);
                    self.note(&known, &format!("{method} {route}"), uri.path(), &error);
                    self.render(error, uri.path(), &request_id)
                }
                None => response,
            };
            set_header(&mut response, request_id::HEADER, &request_id);
            set_header(&mut response, trace::HEADER, &trace.traceparent());
            let millis = started.elapsed().as_secs_f64() * 1000.0;
            set_header(&mut response, RESPONSE_TIME_HEADER, &format!("{millis:.2}"));
            if self.app.is_stopping() {
                set_header(&mut response, CONNECTION.as_str(), "close");
            }
            tracing::info!(route, status = response.status().as_u16(), duration_ms = millis, "answered");
            response
        };
        Ok(answer.instrument(span).await)
    }
}

impl<O: Endpoint> Membrane<O> {
    async fn route(&self, request: Request) -> Response {
        if self.contract.has_document(request.uri().path()) {
            self.documents.get_response(request).await
        } else {
            self.operations.get_response(request).await
        }
    }

    /// Gives an error the one body, whoever made it.
    fn render(&self, error: ApiError, path: &str, request_id: &str) -> Response {
        let not_allowed = error.code() == ErrorCode::MethodNotAllowed;
        let mut response = error.render(request_id);
        if not_allowed {
            set_header(&mut response, ALLOW.as_str(), self.contract.allowed(path));
        }
        response
    }

    /// Notes in the audit trail what was refused to a known caller. `what` is the method and the route.
    fn note(&self, known: &Known, what: &str, path: &str, error: &ApiError) {
        if let (Some(agent), ErrorCode::Unauthorized | ErrorCode::Forbidden | ErrorCode::IdempotentConflict) =
            (known.agent(), error.code())
        {
            // A conflict is about the resource of the first request.
            let target = error.location().and_then(|location| location.strip_prefix(BASE_PATH)).unwrap_or(path);
            let id = target.split('/').nth(2).and_then(Id::parse).map(|id| id.0);
            self.app.notes().note(self.app.refusal(agent, what, (Kind::at(target), id), error));
        }
    }
}

/// The error that a response stands for, whoever made it.
fn error_of(response: &Response) -> Option<ApiError> {
    let failed = response.status().is_client_error() || response.status().is_server_error();
    failed.then(|| response.data::<ApiError>().cloned().unwrap_or_else(|| ApiError::of_status(response.status())))
}

/// Levels: faults of ours are errors, refused callers and duplicates are warnings.
fn log(error: &ApiError) {
    let code = error.code();
    match code {
        // A change of state is logged where it is noticed, and not by each who looks.
        _ if error.is_down() => tracing::debug!(?code, "down"),
        ErrorCode::InternalError | ErrorCode::ServiceUnavailable => {
            tracing::error!(?code, cause = error.cause().unwrap_or_default(), "failed");
        }
        ErrorCode::Unauthorized | ErrorCode::Forbidden | ErrorCode::IdempotentConflict => {
            tracing::warn!(?code, "refused");
        }
        _ => tracing::debug!(?code, "refused"),
    }
}

/// Takes off [`BASE_PATH`], so that one router serves both mount points.
fn strip_base_path(request: &mut Request) {
    let rest = request.uri().path_and_query().and_then(|path| path.as_str().strip_prefix(BASE_PATH));
    if let Some(Ok(uri)) = rest.filter(|rest| rest.starts_with('/')).map(str::parse::<Uri>) {
        *request.uri_mut() = uri;
    }
}

fn set_header(response: &mut Response, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        response.headers_mut().insert(name, value);
    }
}
