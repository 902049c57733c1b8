//! Errors as they are answered: [`ErrorResponse`], with the one body [`ErrorBody`].
//!
//! Every error of the service ([`crate::error::Error`]), and what HTTP itself refuses, gets one of eleven codes here, each
//! with its status. The service stack renders it; nothing else makes an error response.

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

use super::{base_path::address, request_id};
use crate::{
    error::{Error, ErrorKind},
    values::Nullable,
};

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

/// What a request is answered that is not answered as asked.
#[derive(Debug, Clone)]
pub struct ErrorResponse {
    code: ErrorCode,
    details: Option<String>,
    /// Of a duplicate, the address of the resource that the accepted request made or changed.
    location: Option<String>,
    /// What our log should say and the client must not see.
    cause: Option<String>,
    /// Whether it is a probe's answer, which says the state of the service too.
    down: bool,
}

impl ErrorResponse {
    fn new(code: ErrorCode) -> Self {
        Self { code, details: None, location: None, cause: None, down: false }
    }

    fn detailed(code: ErrorCode, details: impl Into<String>) -> Self {
        Self { details: Some(details.into()), ..Self::new(code) }
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

    /// 503 of a probe: `details` says which part of the service does not work.
    pub fn down(details: impl Into<String>) -> Self {
        Self { down: true, ..Self::detailed(ErrorCode::ServiceUnavailable, details) }
    }

    /// The error that a failed response stands for, whoever made it; `None` for any other response.
    #[must_use]
    pub fn of(response: &Response) -> Option<Self> {
        let failed = response.status().is_client_error() || response.status().is_server_error();
        let made_elsewhere = || Self::new(ErrorCode::of(response.status()));
        failed.then(|| response.data::<Self>().cloned().unwrap_or_else(made_elsewhere))
    }

    /// What went wrong.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// What exactly is wrong.
    #[must_use]
    pub fn details(&self) -> Option<&str> {
        self.details.as_deref()
    }

    /// Of a duplicate, the address of the resource that the accepted request made or changed.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// What the client reads.
    #[must_use]
    pub fn body(&self, request_id: &str) -> ErrorBody {
        ErrorBody {
            code: self.code,
            message: self.code.message().to_owned(),
            details: Nullable(self.details.clone()),
            request_id: request_id.to_owned(),
        }
    }

    /// Makes the response.
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

    /// Logs the error: our faults as errors, refused callers and duplicates as warnings.
    pub fn log(&self) {
        let code = self.code;
        match code {
            // A change of state is logged where it is noticed, and not at each probe.
            _ if self.down => tracing::debug!(?code, "down"),
            ErrorCode::InternalError | ErrorCode::ServiceUnavailable => {
                tracing::error!(?code, cause = self.cause.as_deref().unwrap_or_default(), "failed");
            }
            ErrorCode::Unauthorized | ErrorCode::Forbidden | ErrorCode::IdempotentConflict => {
                tracing::warn!(?code, "refused");
            }
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
            ErrorKind::Internal => ErrorCode::InternalError,
            ErrorKind::Unavailable => ErrorCode::ServiceUnavailable,
        };
        let header = request_id::HEADER;
        let location = error.resource().map(|(collection, id)| address(collection, id));
        let details = match &location {
            Some(location) => {
                Some(format!("{header}: already used by an accepted request, see {location}; nothing was changed now"))
            }
            None if error.is_outcome_unknown() => {
                Some(format!("it is not known whether the change was made: send it again with the same {header}"))
            }
            None => error.details().map(str::to_owned),
        };
        Self { code, details, location, cause: error.cause().map(str::to_owned), down: false }
    }
}

/// Carries the error through the framework to the service stack, which knows the request id and renders it.
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

/// The errors of an operation are added to the contract for all operations by one rule, in [`super::contract`].
impl ApiResponse for Error {
    fn meta() -> MetaResponses {
        MetaResponses { responses: Vec::new() }
    }

    fn register(registry: &mut Registry) {
        ErrorBody::register(registry);
    }
}
