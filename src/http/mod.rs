//! The membrane: everything between a connection and an operation, once for all.
//!
//! A request passes, in this order: the request id is read or made ([`request_id`]) · the gateway's prefix is taken off,
//! so that one router serves both mount points · the router · the operation's arguments in order, first the caller
//! ([`caller`]: 401, 403), then headers and query (400), then the body ([`body`]: 415, 413, 400) · the operation.
//! On the way out: a panic becomes a 500 · whatever failed becomes the one error body ([`crate::error`]) · request id and
//! response time are set · one log line is written.
//!
//! [`contract`] emits the OpenAPI document from the operations; [`server`] listens.

pub mod body;
pub mod caller;
pub mod contract;
pub mod header;
pub mod page;
pub mod probes;
pub mod query;
pub mod reply;
pub mod request_id;
pub mod server;

use std::{panic::AssertUnwindSafe, time::Instant};

use futures_util::FutureExt;
use poem::{
    Endpoint, EndpointExt, IntoEndpoint, Request, Response, Route,
    endpoint::make_sync,
    get,
    http::{HeaderName, HeaderValue, Uri, header::ALLOW},
    web::Html,
};
use poem_openapi::OperationId;
use tracing::{Instrument, field::Empty};

use crate::{
    app::App,
    error::{ApiError, ErrorCode},
};
use contract::Contract;

/// Where the gateway mounts the service. Operations are served here and, for gateways that strip it, without it.
pub const BASE_PATH: &str = "/api/v1/crm";

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
    Membrane { app: app.clone(), contract, documents, operations: operations.data(app.clone()) }
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
        request.extensions_mut().insert(received);
        strip_base_path(&mut request);
        let uri = request.uri().clone();
        let span =
            tracing::info_span!("request", request_id, method = %request.method(), tenant_id = Empty, actor = Empty);

        let answer = async {
            let handled = AssertUnwindSafe(self.route(request)).catch_unwind().await;
            let response = handled.unwrap_or_else(|_| poem::Error::from(ApiError::internal("a panic")).into_response());
            let operation = response.data::<OperationId>().map_or("none", |id| id.0);
            let mut response = self.one_error_shape(response, uri.path(), &request_id);
            set_header(&mut response, request_id::HEADER, &request_id);
            let millis = started.elapsed().as_secs_f64() * 1000.0;
            set_header(&mut response, RESPONSE_TIME_HEADER, &format!("{millis:.2}"));
            tracing::info!(operation, status = response.status().as_u16(), duration_ms = millis, "answered");
            response
        };
        Ok(answer.instrument(span).await)
    }
}

impl<O: Endpoint> Membrane<O> {
    async fn route(&self, request: Request) -> Response {
        match request.uri().path() {
            "/openapi.json" | "/openapi.yaml" | "/docs" => self.documents.get_response(request).await,
            _ => self.operations.get_response(request).await,
        }
    }

    /// Gives every 4xx and 5xx the one body, whoever made it.
    fn one_error_shape(&self, response: Response, path: &str, request_id: &str) -> Response {
        if !response.status().is_client_error() && !response.status().is_server_error() {
            return response;
        }
        let error = response.data::<ApiError>().cloned();
        let error = error.unwrap_or_else(|| ApiError::of_status(response.status()));
        log(&error);
        let not_allowed = error.code() == ErrorCode::MethodNotAllowed;
        let mut response = error.render(request_id);
        if not_allowed {
            set_header(&mut response, ALLOW.as_str(), &self.contract.allowed(path));
        }
        response
    }
}

/// Levels as the archive says (5.2): faults of ours are errors, refused callers and duplicates are warnings.
fn log(error: &ApiError) {
    let code = error.code();
    match code {
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
