//! The one error: [`ApiError`] inside, [`ErrorBody`] outside.
//!
//! Whatever goes wrong becomes an [`ApiError`] with one of eleven codes, and the membrane ([`crate::http`]) writes it as
//! an [`ErrorBody`]. What the client reads is chosen here and where the error is made; an error's own text (SQL, file
//! names, panics) goes to the log and no further.

use std::fmt;

use poem::{
    Response,
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse, Enum, Object,
    registry::{MetaResponses, Registry},
};
use serde::Serialize;

use crate::values::Nullable;

/// The result of everything that can be refused or fail.
pub type Result<T> = std::result::Result<T, ApiError>;

/// What went wrong, for programs: each code has one HTTP status.
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
    /// 409
    IdempotentConflict,
    /// 413
    PayloadTooLarge,
    /// 415
    UnsupportedMediaType,
    /// 429
    TooManyRequests,
    /// 500
    InternalError,
    /// 503
    ServiceUnavailable,
}

impl ErrorCode {
    /// The HTTP status that goes with the code.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::IdempotentConflict => StatusCode::CONFLICT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The code for a status that something outside our own code answered with.
    #[must_use]
    pub fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::CONFLICT => Self::IdempotentConflict,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::TOO_MANY_REQUESTS => Self::TooManyRequests,
            StatusCode::SERVICE_UNAVAILABLE => Self::ServiceUnavailable,
            status if status.is_client_error() => Self::BadRequest,
            _ => Self::InternalError,
        }
    }

    /// The code in a sentence, the same for every error with this code.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is not valid.",
            Self::Unauthorized => "A valid bearer token is required.",
            Self::Forbidden => "The token does not allow this.",
            Self::NotFound => "There is no such resource.",
            Self::MethodNotAllowed => "The resource does not support this method.",
            Self::IdempotentConflict => "A request with this X-Request-ID was already accepted.",
            Self::PayloadTooLarge => "The request body is too large.",
            Self::UnsupportedMediaType => "The request body must be application/json.",
            Self::TooManyRequests => "Too many requests; try again later.",
            Self::InternalError => "The service failed to answer this request.",
            Self::ServiceUnavailable => "The service cannot answer right now; try again later.",
        }
    }
}

/// An error: the same shape for every status, whatever produced it.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// What went wrong, for programs.
    pub code: ErrorCode,
    /// What went wrong, in a sentence.
    pub message: String,
    /// What exactly, naming the field, parameter or header at fault, where there is more to say.
    pub details: Nullable<String>,
    /// The request's `X-Request-ID`, or the one the server made: quote it when asking for help.
    pub request_id: String,
}

/// Whether the service works, where it does not.
#[derive(Debug, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum HealthDownStatus {
    /// It does not.
    Down,
}

/// The name of this cell.
#[derive(Debug, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Cell {
    /// Customer relationship management.
    Crm,
}

/// The state of the service where it does not work, and the error that this is: both in one body.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase", example)]
#[serde(rename_all = "camelCase")]
pub struct HealthDown {
    /// Whether the service works.
    pub status: HealthDownStatus,
    /// The name of this cell.
    pub cell: Cell,
    /// What went wrong, for programs.
    pub code: ErrorCode,
    /// What went wrong, in a sentence.
    pub message: String,
    /// Which part does not work, and why.
    pub details: Nullable<String>,
    /// The request's `X-Request-ID`, or the one the server made: quote it when asking for help.
    pub request_id: String,
}

impl From<ErrorBody> for HealthDown {
    fn from(error: ErrorBody) -> Self {
        let ErrorBody { code, message, details, request_id } = error;
        Self { status: HealthDownStatus::Down, cell: Cell::Crm, code, message, details, request_id }
    }
}

/// Why a request is not answered as asked.
#[derive(Debug, Clone)]
pub struct ApiError {
    code: ErrorCode,
    details: Option<String>,
    /// The address of the resource an earlier request with the same id made or changed.
    location: Option<String>,
    /// What our log should say; never shown to the client.
    cause: Option<String>,
    /// Whether the same change may succeed when it is run again at once.
    contention: bool,
    /// Whether it is a probe's answer, which says the state of the service too.
    down: bool,
}

impl ApiError {
    fn new(code: ErrorCode) -> Self {
        Self { code, details: None, location: None, cause: None, contention: false, down: false }
    }

    fn detailed(code: ErrorCode, details: impl Into<String>) -> Self {
        Self { details: Some(details.into()), ..Self::new(code) }
    }

    fn caused(code: ErrorCode, cause: impl fmt::Display) -> Self {
        Self { cause: Some(cause.to_string()), ..Self::new(code) }
    }

    /// 400: `details` names what is wrong.
    pub fn bad_request(details: impl Into<String>) -> Self {
        Self::detailed(ErrorCode::BadRequest, details)
    }

    /// 400: the field refers to a resource that the tenant does not have.
    #[must_use]
    pub fn bad_reference(field: &str) -> Self {
        Self::bad_request(format!("{field}: must be the id of an existing resource"))
    }

    /// 401: `details` says what is missing or wrong with the token, without repeating it.
    pub fn unauthorized(details: impl Into<String>) -> Self {
        Self::detailed(ErrorCode::Unauthorized, details)
    }

    /// 403: `details` names the scope or tenant that the token lacks.
    pub fn forbidden(details: impl Into<String>) -> Self {
        Self::detailed(ErrorCode::Forbidden, details)
    }

    /// 404: the same answer for an unknown, a malformed and another tenant's id.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(ErrorCode::NotFound)
    }

    /// 409: a request with the same id was accepted before; `location` is the resource it made or changed.
    #[must_use]
    pub fn conflict(location: String) -> Self {
        let details =
            format!("X-Request-ID: already used by an accepted request, see {location}; nothing was changed now");
        Self { location: Some(location), ..Self::detailed(ErrorCode::IdempotentConflict, details) }
    }

    /// 413: the body is larger than `limit` bytes.
    #[must_use]
    pub fn payload_too_large(limit: usize) -> Self {
        Self::detailed(ErrorCode::PayloadTooLarge, format!("the body must not be larger than {limit} bytes"))
    }

    /// 415.
    #[must_use]
    pub fn unsupported_media_type() -> Self {
        Self::detailed(ErrorCode::UnsupportedMediaType, "Content-Type: must be application/json")
    }

    /// 500: `cause` is for our log.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::caused(ErrorCode::InternalError, cause)
    }

    /// 503: `cause` is for our log. The client may send the same request again.
    pub fn unavailable(cause: impl fmt::Display) -> Self {
        Self::caused(ErrorCode::ServiceUnavailable, cause)
    }

    /// 503 where COMMIT was sent and its answer did not come, or not in time: `cause` is for our log.
    pub fn outcome_open(cause: impl fmt::Display) -> Self {
        let details = "it is not known whether the change was made: send it again with the same X-Request-ID";
        Self { details: Some(details.to_owned()), ..Self::unavailable(cause) }
    }

    /// 503 where two changes met and this one gave way: the write executor runs it again before the client hears of it.
    #[must_use]
    pub fn contention(cause: impl fmt::Display) -> Self {
        Self { contention: true, ..Self::unavailable(cause) }
    }

    /// 503 of a probe: `details` says which part of the service does not work.
    pub fn down(details: impl Into<String>) -> Self {
        Self { down: true, ..Self::detailed(ErrorCode::ServiceUnavailable, details) }
    }

    /// The error for a status that something outside our own code answered with.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        Self::new(ErrorCode::of(status))
    }

    /// What went wrong.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// What exactly is wrong, for the client.
    #[must_use]
    pub fn details(&self) -> Option<&str> {
        self.details.as_deref()
    }

    /// Of a conflict, the address of the resource that the first request made or changed.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// Whether the same change may succeed when it is run again at once.
    #[must_use]
    pub fn is_contention(&self) -> bool {
        self.contention
    }

    /// Whether the service failed, and not the request.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        self.code.status().is_server_error()
    }

    /// Whether it is the answer of a probe that found the service down.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down
    }

    /// What our log should say and the client must not see.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// What the client reads of the error.
    #[must_use]
    pub fn body(&self, request_id: &str) -> ErrorBody {
        ErrorBody {
            code: self.code,
            message: self.code.message().to_owned(),
            details: Nullable(self.details.clone()),
            request_id: request_id.to_owned(),
        }
    }

    /// Writes the error: the only place where an error becomes a response.
    #[must_use]
    pub fn render(self, request_id: &str) -> Response {
        let body = self.body(request_id);
        let body = if self.down { serde_json::to_vec(&HealthDown::from(body)) } else { serde_json::to_vec(&body) };
        let body = body.unwrap_or_default();
        let mut response = Response::builder().status(self.code.status()).content_type("application/json").body(body);
        let headers = response.headers_mut();
        match self.code {
            ErrorCode::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            ErrorCode::TooManyRequests | ErrorCode::ServiceUnavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        if let Some(location) = self.location.and_then(|location| HeaderValue::try_from(location).ok()) {
            headers.insert(header::LOCATION, location);
        }
        response
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.code)
    }
}

impl std::error::Error for ApiError {}

/// Carries the error through the framework to the membrane, which knows the request id and renders it.
impl From<ApiError> for poem::Error {
    fn from(error: ApiError) -> Self {
        let mut carrier = Self::from_status(error.code.status());
        carrier.set_data(error);
        carrier
    }
}

/// The statuses of errors are added to the contract for all operations by one rule, in [`crate::http::contract`].
impl ApiResponse for ApiError {
    fn meta() -> MetaResponses {
        MetaResponses { responses: Vec::new() }
    }

    fn register(registry: &mut Registry) {
        <ErrorBody as poem_openapi::types::Type>::register(registry);
    }
}
