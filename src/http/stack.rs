//! The order in which a request passes through the service, the same for all operations.
//!
//! In: the request id is read or generated ([`request_id`]) · the trace is continued or started · the gateway's prefix
//! is removed, so that one router serves requests with and without it · a browser's preflight is answered · the router · the operation's arguments in
//! order: the caller ([`super::caller`]: 401, 403), headers and query (400), the body ([`super::body`]: 415, 413, 400)
//! · the operation.
//!
//! Out: a panic becomes a 500 · every error gets the one error body ([`super::error`]), and is audited if the caller is
//! known and was rejected · what browsers, caches and the caller's pace need to know is set · request id, trace and response
//! time are set · one log line is written.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use poem::{
    Endpoint, Request, Response, Route,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method,
        header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS},
    },
};
use tracing::{Instrument, field::Empty};

use super::{
    base_path,
    contract::Paths,
    cors::Cors,
    counted::CountedRoutes,
    error::{ErrorCode, ErrorResponse},
    head::Refused,
    header,
    identified::IdentifiedCaller,
    in_flight::InFlightLimit,
    position, probes,
    query::Parameters,
    rate::RateReport,
    request_id::{self, ReceivedRequestId},
};
use crate::{
    auth::Actor,
    config::CorsOrigins,
    database::Recency,
    error::Error,
    telemetry::{
        metrics::Metrics,
        request_metrics::NO_ROUTE,
        span::Span,
        spans::Spans,
        trace::{self, Trace},
    },
    values::IdSource,
};

/// A rejected or failed request with a known caller.
pub struct Refusal<'r> {
    /// The caller.
    pub actor: &'r Actor,
    /// The method.
    pub method: &'r Method,
    /// The path template from the contract, or `none` if the path is unknown.
    pub route: &'r str,
    /// The path without the gateway's prefix.
    pub path: &'r str,
    /// The error response.
    pub error: &'r ErrorResponse,
}

/// The service stack: an endpoint that wraps the operations.
pub struct ServiceStack<O> {
    /// The paths of the contract.
    pub paths: Paths,
    /// Documents served alongside the operations.
    pub documents: Route,
    /// The operations.
    pub operations: O,
    /// The origins whose pages may read replies.
    pub cors_origins: CorsOrigins,
    /// The source of request and trace ids.
    pub ids: Arc<IdSource>,
    /// How many requests are answered at once; probes and documents always are.
    pub in_flight: InFlightLimit,
    /// Counts requests by operation.
    pub routes: CountedRoutes,
    /// Begins the span of each request.
    pub spans: Spans,
    /// Counts what is refused because of a limit.
    pub metrics: Arc<Metrics>,
    /// Called for each rejected or failed request with a known caller.
    pub on_refusal: Box<dyn Fn(&Refusal<'_>) + Send + Sync>,
}

impl<O: Endpoint> Endpoint for ServiceStack<O> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        let received = ReceivedRequestId::of(request.headers(), || self.ids.next().to_string());
        let request_id = received.id.clone();
        let mut trace = Trace::of(header::text_once(request.headers(), trace::HEADER), self.ids.next());
        request.extensions_mut().insert(received);
        let identified = shared_with(&mut request, IdentifiedCaller::default());
        let rates = shared_with(&mut request, RateReport::default());
        let recency = shared_with(&mut request, Recency::default());
        request.extensions_mut().insert(Parameters::default());
        base_path::strip(&mut request);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let place = self.paths.place(&path);
        let is_probe = place.is_some() && probes::is_watched(&path);
        let mut server = || self.spans.server(&mut trace, method.as_str(), self.paths.template(place));
        let traced = if is_probe { Span::nothing() } else { server() };
        request.extensions_mut().insert(trace.clone());
        let counted = self.routes.begin(place, &method);
        let cors = Cors::of(&self.cors_origins, &method, request.headers());
        // At ERROR level, so that the span stays enabled under every log filter and errors keep their context.
        let span = tracing::error_span!(
            "request",
            trace_id = trace.id(),
            span_id = trace.span_id(),
            request_id,
            tenant_id = Empty,
            actor = Empty,
            %method,
        );

        let answer = async {
            let response = match cors.preflight(self.paths.allowed(&path)) {
                Some(response) => response,
                None => self.survive(request).await,
            };
            let route = self.paths.template(place).unwrap_or(NO_ROUTE);
            let mut response = match ErrorResponse::of(&response) {
                Some(error) => {
                    error.log();
                    self.count(&error);
                    if let Some(actor) = identified.actor() {
                        (self.on_refusal)(&Refusal { actor, method: &method, route, path: &path, error: &error });
                    }
                    self.render(error, &path, &request_id)
                }
                None => response,
            };
            cors.set_headers(response.headers_mut());
            rates.set_headers(response.headers_mut());
            position::set_header(response.headers_mut(), &recency);
            secure(response.headers_mut());
            let (status, elapsed) = (response.status().as_u16(), started.elapsed());
            stamp(response.headers_mut(), &request_id, &trace, elapsed);
            log(route, is_probe, status, elapsed);
            counted.answered(status, elapsed);
            response
        };
        let response = traced.around(answer).instrument(span).await;
        answered(traced, &response, identified.actor());
        Ok(response)
    }
}

impl<O: Endpoint> ServiceStack<O> {
    /// A panic fails the request, and nothing else.
    async fn survive(&self, request: Request) -> Response {
        let handled = AssertUnwindSafe(self.route(request)).catch_unwind().await;
        handled.unwrap_or_else(|_| poem::Error::from(Error::internal("a panic")).into_response())
    }

    async fn route(&self, mut request: Request) -> Response {
        if let Some(Refused(error)) = request.extensions_mut().remove() {
            return poem::Error::from(error).into_response();
        }
        let path = request.uri().path();
        if self.paths.has_document(path) {
            return self.documents.get_response(request).await;
        }
        if probes::PATHS.contains(&path) {
            return self.operations.get_response(request).await;
        }
        let in_flight = match self.in_flight.begin() {
            Ok(in_flight) => in_flight,
            Err(error) => return poem::Error::from(error).into_response(),
        };
        request.extensions_mut().insert(in_flight.clone());
        let changes = !request.method().is_safe();
        // Boxed, because what is around it would copy it with each move.
        in_flight.answered(changes, self.operations.get_response(request).boxed()).await
    }

    fn count(&self, error: &ErrorResponse) {
        if let Some(limit) = error.limit() {
            self.metrics.refuse(limit);
        }
        if error.code() == ErrorCode::IdempotentConflict {
            self.metrics.http.idempotency_conflicts.inc();
        }
    }

    /// Renders an error in the one shape, whoever created it.
    fn render(&self, error: ErrorResponse, path: &str, request_id: &str) -> Response {
        let not_allowed = error.code() == ErrorCode::MethodNotAllowed;
        let mut response = error.located(self.paths.route(path)).render(request_id);
        if not_allowed {
            set_header(response.headers_mut(), ALLOW.as_str(), self.paths.allowed(path));
        }
        response
    }
}

/// Puts into a request what it tells, and what is looked at once it is answered.
fn shared_with<T: Clone + Send + Sync + 'static>(request: &mut Request, shared: T) -> T {
    request.extensions_mut().insert(shared.clone());
    shared
}

/// Says which request this is an answer to, and how long it took.
fn stamp(headers: &mut HeaderMap, request_id: &str, trace: &Trace, elapsed: Duration) {
    set_header(headers, request_id::HEADER, request_id);
    set_header(headers, trace::HEADER, &trace.traceparent());
    set_header(headers, header::RESPONSE_TIME, &format!("{:.2}", elapsed.as_secs_f64() * 1000.0));
}

/// The one line of a request. What changes in what probes are answered is logged where it is found.
fn log(route: &str, is_probe: bool, status: u16, elapsed: Duration) {
    let duration_ms = (elapsed.as_secs_f64() * 100_000.0).round() / 100.0;
    match is_probe {
        true => tracing::debug!(target: "crm::http", route, status, duration_ms, "answered"),
        false => tracing::info!(target: "crm::http", route, status, duration_ms, "answered"),
    }
}

/// Ends the span of a request with what it came to.
fn answered(mut span: Span, response: &Response, actor: Option<&Actor>) {
    let status = response.status();
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if let Some(actor) = actor {
        span.set_text("tenant.id", actor.tenant.as_str());
    }
    if status.is_server_error() && span.is_recorded() {
        span.fails(status.as_u16().to_string());
    }
}

/// Tells browsers and caches what not to do with a reply: guess its type, keep it, run or frame anything in it. A document
/// has a policy of its own.
fn secure(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
}

fn set_header(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        headers.insert(name, value);
    }
}
