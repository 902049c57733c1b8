//! Error responses: [`ErrorResponse`], with the one body [`ErrorBody`].
//!
//! Every [`crate::error::Error`], and every error that HTTP itself raises, maps to one of fifteen codes, each with one
//! status. Only the service stack renders error responses.

use poem::{
    Response,
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse, Enum, Object,
    registry::{MetaResponses, Registry},
    types::Type,
};
use serde::Serialize;

use super::{base_path::address, error_resource::ErrorResource, request_id};
use crate::{
    error::{Challenge, DuplicateRequest, Error, ErrorKind},
    telemetry::metrics::HttpLimit,
    values::{
        Nullable, Shown,
        shown::{Details, Message, RequestIdText},
    },
};

/// Machine-readable error code; each has one HTTP status. New values may be added: treat one that you do not know by its
/// HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 408
    RequestTimeout,
    /// 409
    IdempotentConflict,
    /// 412
    PreconditionFailed,
    /// 413
    PayloadTooLarge,
    /// 414
    UriTooLong,
    /// 415
    UnsupportedMediaType,
    /// 429
    TooManyRequests,
    /// 431
    HeadersTooLarge,
    /// 500
    InternalError,
    /// 503
    ServiceUnavailable,
}

impl ErrorCode {
    /// The code's HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::IdempotentConflict => StatusCode::CONFLICT,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The code for a status that poem responded with, such as its own 404.
    #[must_use]
    pub fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            StatusCode::CONFLICT => Self::IdempotentConflict,
            StatusCode::PRECONDITION_FAILED => Self::PreconditionFailed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::URI_TOO_LONG => Self::UriTooLong,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::TOO_MANY_REQUESTS => Self::TooManyRequests,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Self::HeadersTooLarge,
            StatusCode::SERVICE_UNAVAILABLE => Self::ServiceUnavailable,
            status if status.is_client_error() => Self::BadRequest,
            _ => Self::InternalError,
        }
    }

    /// The human-readable message, the same for every error with this code.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is not valid.",
            Self::Unauthorized => "A valid bearer token is required.",
            Self::Forbidden => "The token does not allow this.",
            Self::NotFound => "There is no such resource.",
            Self::MethodNotAllowed => "The resource does not support this method.",
            Self::RequestTimeout => "The request did not arrive in time.",
            Self::IdempotentConflict => "A request with this Idempotency-Key or X-Request-ID was already accepted.",
            Self::PreconditionFailed => "The resource is not in the version that the request expects.",
            Self::PayloadTooLarge => "The request body is too large.",
            Self::UriTooLong => "The request's URL is too long.",
            Self::UnsupportedMediaType => "The request body must be application/json in UTF-8.",
            Self::TooManyRequests => "Too many requests; try again later.",
            Self::HeadersTooLarge => "The request's headers are too large.",
            Self::InternalError => "The service failed to answer this request.",
            Self::ServiceUnavailable => "The service cannot answer right now; try again later.",
        }
    }
}

/// An error, in the same shape for every status.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// Machine-readable error code.
    pub code: ErrorCode,
    /// Human-readable message, the same for every error with this code.
    pub message: Shown<Message>,
    /// Details, if any, naming the field, parameter or header at fault.
    pub details: Nullable<Shown<Details>>,
    /// The request's `X-Request-ID`, or the one that the server generated: quote it in support requests.
    pub request_id: Shown<RequestIdText>,
    /// For `IDEMPOTENT_CONFLICT`: the resource that the accepted request created or changed.
    pub resource: ErrorResource,
}

/// The status of the service: `up` with 200, `down` with 503. New values may be added: treat one that you do not know by its
/// HTTP status.
#[derive(Debug, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// The service is up.
    Up,
    /// The service is down, or shutting down.
    Down,
}

/// The name of this service. New values may be added: nothing depends on it.
#[derive(Debug, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Cell {
    /// Customer relationship management.
    Crm,
}

/// The health of a service that is down, combined with the error body.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase", example)]
#[serde(rename_all = "camelCase")]
pub struct HealthDown {
    /// The status of the service.
    pub status: HealthStatus,
    /// The name of this service.
    pub cell: Cell,
    /// Machine-readable error code.
    pub code: ErrorCode,
    /// Human-readable message, the same for every error with this code.
    pub message: Shown<Message>,
    /// Which part is failing, and why.
    pub details: Nullable<Shown<Details>>,
    /// The request's `X-Request-ID`, or the one that the server generated: quote it in support requests.
    pub request_id: Shown<RequestIdText>,
    /// Always `null`: an error of the service is about no resource.
    pub resource: ErrorResource,
}

impl From<ErrorBody> for HealthDown {
    fn from(error: ErrorBody) -> Self {
        let ErrorBody { code, message, details, request_id, resource } = error;
        Self { status: HealthStatus::Down, cell: Cell::Crm, code, message, details, request_id, resource }
    }
}

/// An error response that is not rendered yet.
#[derive(Debug, Clone)]
pub struct ErrorResponse {
    code: ErrorCode,
    details: Option<String>,
    /// For a duplicate: the resource that the accepted request created or changed, and its URL. Boxed, because errors are
    /// passed by value.
    accepted: Option<Box<(ErrorResource, String)>>,
    /// For a failed precondition: the entity tag that the resource has.
    entity_tag: Option<Box<str>>,
    /// For the log only: the client must not see it.
    cause: Option<String>,
    /// What `WWW-Authenticate` says, where it says more than the scheme.
    challenge: Option<String>,
    /// What `Accept-Encoding` says, where the body's coding is the reason.
    accepts: Option<&'static str>,
    /// Whether this is the response of a probe, which also reports health.
    down: bool,
    /// The limit that was reached.
    limit: Option<HttpLimit>,
}

impl ErrorResponse {
    fn new(code: ErrorCode) -> Self {
        Self {
            code,
            details: None,
            accepted: None,
            entity_tag: None,
            cause: None,
            challenge: None,
            accepts: None,
            down: false,
            limit: None,
        }
    }

    fn detailed(code: ErrorCode, details: impl Into<String>) -> Self {
        Self { details: Some(details.into()), ..Self::new(code) }
    }

    /// 413: the body is larger than `limit` bytes.
    #[must_use]
    pub fn payload_too_large(limit: usize) -> Self {
        let details = format!("the body must not be larger than {limit} bytes");
        Self::detailed(ErrorCode::PayloadTooLarge, details).because_of(HttpLimit::body_size)
    }

    /// 404: nothing of the tenant is at this path of the contract. The same for unknown, malformed and foreign ids.
    #[must_use]
    pub fn not_found_at(template: &str) -> Self {
        Self::new(ErrorCode::NotFound).located(Some(template))
    }

    /// Says what was not found, if that is the error and nothing was said yet.
    #[must_use]
    pub fn located(self, template: Option<&str>) -> Self {
        if self.code != ErrorCode::NotFound || self.details.is_some() {
            return self;
        }
        let details = match template {
            Some(template) => format!("the tenant has nothing at {template} with this id"),
            None => "there is no such path".to_owned(),
        };
        Self { details: Some(details), ..self }
    }

    /// 415: the body is not `application/json`.
    #[must_use]
    pub fn unsupported_media_type() -> Self {
        Self::detailed(ErrorCode::UnsupportedMediaType, "Content-Type: must be application/json")
    }

    /// 415: the body is JSON in another charset than UTF-8.
    #[must_use]
    pub fn unsupported_charset() -> Self {
        Self::detailed(ErrorCode::UnsupportedMediaType, "Content-Type: the charset must be UTF-8")
    }

    /// 415: the body is compressed, or encoded otherwise; the response says what is accepted (RFC 9110, section 12.5.3).
    #[must_use]
    pub fn unsupported_content_coding() -> Self {
        let details = "Content-Encoding: must be identity, or not sent";
        Self { accepts: Some("identity"), ..Self::detailed(ErrorCode::UnsupportedMediaType, details) }
    }

    /// 408: the request, or a part of it, did not arrive in time.
    pub fn request_timeout(details: impl Into<String>) -> Self {
        Self::detailed(ErrorCode::RequestTimeout, details)
    }

    /// 414: the URL is longer than `limit` bytes.
    #[must_use]
    pub fn uri_too_long(limit: usize) -> Self {
        let details = format!("the URL must not be longer than {limit} bytes");
        Self::detailed(ErrorCode::UriTooLong, details).because_of(HttpLimit::url_size)
    }

    /// 431: `details` names the header, or the limit of all.
    pub fn headers_too_large(details: impl Into<String>) -> Self {
        Self::detailed(ErrorCode::HeadersTooLarge, details)
    }

    /// The same error, which the service stack counts as a refusal by this limit.
    #[must_use]
    pub fn because_of(self, limit: HttpLimit) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// 503 of a probe: `details` says which part of the service is failing.
    pub fn down(details: impl Into<String>) -> Self {
        Self { down: true, ..Self::detailed(ErrorCode::ServiceUnavailable, details) }
    }

    /// The error behind a 4xx or 5xx response, whoever created it; `None` for any other status.
    #[must_use]
    pub fn of(response: &Response) -> Option<Self> {
        let failed = response.status().is_client_error() || response.status().is_server_error();
        let made_elsewhere = || Self::new(ErrorCode::of(response.status()));
        failed.then(|| response.data::<Self>().cloned().unwrap_or_else(made_elsewhere))
    }

    /// The error code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The limit that was reached, if the service stack is to count it.
    #[must_use]
    pub fn limit(&self) -> Option<HttpLimit> {
        self.limit
    }

    /// The details for the client.
    #[must_use]
    pub fn details(&self) -> Option<&str> {
        self.details.as_deref()
    }

    /// For a duplicate: the URL of the resource that the accepted request created or changed.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.accepted.as_ref().map(|accepted| accepted.1.as_str())
    }

    /// The body for the client.
    #[must_use]
    pub fn body(&self, request_id: &str) -> ErrorBody {
        ErrorBody {
            code: self.code,
            message: self.code.message().into(),
            details: Nullable(self.details.clone().map(Into::into)),
            request_id: request_id.into(),
            resource: self.accepted.as_ref().map(|accepted| accepted.0.clone()).unwrap_or_default(),
        }
    }

    /// Renders the response.
    #[must_use]
    pub fn render(self, request_id: &str) -> Response {
        let body = self.body(request_id);
        let body = if self.down { serde_json::to_vec(&HealthDown::from(body)) } else { serde_json::to_vec(&body) };
        let body = body.unwrap_or_default();
        let mut response = Response::builder().status(self.code.status()).content_type("application/json").body(body);
        let headers = response.headers_mut();
        let challenge = match self.code {
            ErrorCode::Unauthorized => Some(self.challenge.as_deref().unwrap_or("Bearer")),
            _ => self.challenge.as_deref(),
        };
        if let Some(challenge) = challenge.and_then(|challenge| HeaderValue::try_from(challenge).ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        match self.code {
            ErrorCode::TooManyRequests | ErrorCode::ServiceUnavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        if let Some(accepted) = self.accepts {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
        }
        if let Some(location) = self.location().and_then(|location| HeaderValue::try_from(location).ok()) {
            headers.insert(header::LOCATION, location);
        }
        if let Some(entity_tag) = self.entity_tag.and_then(|entity_tag| HeaderValue::from_str(&entity_tag).ok()) {
            headers.insert(header::ETAG, entity_tag);
        }
        response
    }

    /// Logs the error: failures of the service as errors, rejected callers and duplicates as warnings.
    pub fn log(&self) {
        let code = self.code;
        match code {
            // Changes of state are logged where they are detected, not on every probe.
            _ if self.down => tracing::debug!(?code, "down"),
            ErrorCode::InternalError | ErrorCode::ServiceUnavailable => {
                tracing::error!(?code, cause = self.cause.as_deref().unwrap_or_default(), "failed");
            }
            // The reason repeats nothing of the token.
            ErrorCode::Unauthorized | ErrorCode::Forbidden => {
                tracing::warn!(?code, reason = self.details.as_deref().unwrap_or_default(), "refused");
            }
            ErrorCode::IdempotentConflict => tracing::warn!(?code, "refused"),
            _ => tracing::debug!(?code, "refused"),
        }
    }
}

impl From<Error> for ErrorResponse {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::Invalid => ErrorCode::BadRequest,
            ErrorKind::Unauthenticated => ErrorCode::Unauthorized,
            ErrorKind::Forbidden => ErrorCode::Forbidden,
            ErrorKind::NotFound => ErrorCode::NotFound,
            ErrorKind::Duplicate => ErrorCode::IdempotentConflict,
            ErrorKind::PreconditionFailed => ErrorCode::PreconditionFailed,
            ErrorKind::TooMany => ErrorCode::TooManyRequests,
            ErrorKind::Internal => ErrorCode::InternalError,
            ErrorKind::Unavailable => ErrorCode::ServiceUnavailable,
            ErrorKind::TokenTooLarge => ErrorCode::HeadersTooLarge,
        };
        let accepted = error.duplicate().map(|DuplicateRequest { header, resource }| {
            let location = address(&resource.collection, resource.id);
            let details = format!(
                "{header}: already used by an accepted request, see {} {} at {location}; nothing was changed now",
                resource.kind, resource.id
            );
            (details, Box::new((ErrorResource::from(resource), location)))
        });
        let (details, accepted) = match accepted {
            Some((details, accepted)) => (Some(details), Some(accepted)),
            None if error.is_outcome_unknown() => (Some(outcome_unknown()), None),
            None => (error.details().map(str::to_owned), None),
        };
        Self {
            details,
            accepted,
            entity_tag: error.entity_tag().map(Into::into),
            cause: error.cause().map(str::to_owned),
            challenge: error.challenge().map(describe),
            ..Self::new(code)
        }
    }
}

fn outcome_unknown() -> String {
    let (id, key) = (request_id::HEADER, request_id::KEY_HEADER);
    format!("it is not known whether the change was made: send it again with the same {id}, and {key} if it had one")
}

/// The value of `WWW-Authenticate` (RFC 6750, section 3).
fn describe(challenge: &Challenge) -> String {
    match challenge {
        Challenge::InvalidToken(reason) => {
            let may_be_quoted = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
            let reason: String = reason.chars().filter(may_be_quoted).collect();
            format!(r#"Bearer error="invalid_token", error_description="{reason}""#)
        }
        Challenge::InsufficientScope(scope) => format!(r#"Bearer error="insufficient_scope", scope="{scope}""#),
    }
}

/// Carries the error through poem to the service stack, which knows the request id and renders it.
impl From<ErrorResponse> for poem::Error {
    fn from(error: ErrorResponse) -> Self {
        let mut carrier = Self::from_status(error.code.status());
        carrier.set_data(error);
        carrier
    }
}

impl From<Error> for poem::Error {
    fn from(error: Error) -> Self {
        ErrorResponse::from(error).into()
    }
}

/// Declares no responses: [`super::contract`] adds the error responses to all operations.
impl ApiResponse for Error {
    fn meta() -> MetaResponses {
        MetaResponses { responses: Vec::new() }
    }

    fn register(registry: &mut Registry) {
        ErrorBody::register(registry);
    }
}
