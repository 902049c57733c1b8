//! The order in which a request passes the service, once for all operations.
//!
//! In: the request id is read or made ([`request_id`]) · the trace is continued or begun · the gateway's prefix is taken off,
//! so that one router serves both mount points · the router · the operation's arguments in order, first the caller
//! ([`super::caller`]: 401, 403), then headers and query (400), then the body ([`super::body`]: 415, 413, 400) · the operation.
//!
//! Out: a panic becomes a 500 · whatever failed becomes the one error body ([`super::error`]), and is audited where it was
//! refused to a known caller · request id, trace and response time are set, and `Connection: close` once the service was
//! told to stop · one log line is written.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use futures_util::FutureExt;
use poem::{
    Endpoint, Request, Response, Route,
    http::{
        HeaderName, HeaderValue, Method,
        header::{ALLOW, CONNECTION},
    },
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, field::Empty};

use super::{
    base_path,
    caller::IdentifiedCaller,
    contract::Contract,
    error::{ErrorCode, ErrorResponse},
    header,
    request_id::{self, ReceivedRequestId},
};
use crate::{
    auth::Actor,
    error::Error,
    telemetry::trace::{self, Trace},
    values::IdSource,
};

/// A request that was refused or failed, and whose caller is known.
pub struct Refusal<'r> {
    /// Who asked.
    pub actor: &'r Actor,
    /// What was asked: the method.
    pub method: &'r Method,
    /// The template of the path, as in the contract; `none` for an unknown one.
    pub route: &'r str,
    /// The path, without the gateway's prefix.
    pub path: &'r str,
    /// What it is answered.
    pub error: &'r ErrorResponse,
}

/// The service stack around some operations.
pub struct ServiceStack<O> {
    /// What the operations are.
    pub contract: Contract,
    /// What is served beside them.
    pub documents: Route,
    /// The operations themselves.
    pub operations: O,
    /// Where ids of requests and traces come from.
    pub ids: Arc<IdSource>,
    /// Cancelled once the service was told to stop.
    pub stopping: CancellationToken,
    /// Called for each refused or failed request whose caller is known.
    pub on_refusal: Box<dyn Fn(&Refusal<'_>) + Send + Sync>,
}

impl<O: Endpoint> Endpoint for ServiceStack<O> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        let received = ReceivedRequestId::of(request.headers(), || self.ids.next().to_string());
        let request_id = received.id.clone();
        let trace = Trace::of(header::text_once(request.headers(), trace::HEADER), self.ids.next());
        let identified = IdentifiedCaller::default();
        request.extensions_mut().insert(received);
        request.extensions_mut().insert(trace.clone());
        request.extensions_mut().insert(identified.clone());
        base_path::strip(&mut request);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
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
            let response = handled.unwrap_or_else(|_| poem::Error::from(Error::internal("a panic")).into_response());
            let route = self.contract.route(&path).unwrap_or("none");
            let mut response = match ErrorResponse::of(&response) {
                Some(error) => {
                    error.log();
                    if let Some(actor) = identified.actor() {
                        (self.on_refusal)(&Refusal { actor, method: &method, route, path: &path, error: &error });
                    }
                    self.render(error, &path, &request_id)
                }
                None => response,
            };
            set_header(&mut response, request_id::HEADER, &request_id);
            set_header(&mut response, trace::HEADER, &trace.traceparent());
            let millis = started.elapsed().as_secs_f64() * 1000.0;
            set_header(&mut response, header::RESPONSE_TIME, &format!("{millis:.2}"));
            if self.stopping.is_cancelled() {
                set_header(&mut response, CONNECTION.as_str(), "close");
            }
            tracing::info!(target: "crm::http", route, status = response.status().as_u16(), duration_ms = millis, "answered");
            response
        };
        Ok(answer.instrument(span).await)
    }
}

impl<O: Endpoint> ServiceStack<O> {
    async fn route(&self, request: Request) -> Response {
        if self.contract.has_document(request.uri().path()) {
            self.documents.get_response(request).await
        } else {
            self.operations.get_response(request).await
        }
    }

    /// Gives an error the one body, whoever made it.
    fn render(&self, error: ErrorResponse, path: &str, request_id: &str) -> Response {
        let not_allowed = error.code() == ErrorCode::MethodNotAllowed;
        let mut response = error.render(request_id);
        if not_allowed {
            set_header(&mut response, ALLOW.as_str(), self.contract.allowed(path));
        }
        response
    }
}

fn set_header(response: &mut Response, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        response.headers_mut().insert(name, value);
    }
}
