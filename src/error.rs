//! The service's error type: [`Error`].
//!
//! What a client may see (`details`) is chosen where the error is created; the text of a cause (SQL, file names,
//! panics) only goes to the log. `http::error` decides on the HTTP response.

use std::fmt;

use uuid::Uuid;

/// The result of an operation that can be rejected or fail.
pub type Result<T> = std::result::Result<T, Error>;

/// The kind of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input violates a rule.
    Invalid,
    /// The caller is not authenticated.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// The tenant has no such resource.
    NotFound,
    /// The request or event was already accepted.
    Duplicate,
    /// The resource does not have the version that the caller expects.
    PreconditionFailed,
    /// The caller asks for more than it may at once.
    TooMany,
    /// The service failed.
    Internal,
    /// The service cannot do it now, but may be able to later.
    Unavailable,
    /// The token is too long to be looked at.
    TokenTooLarge,
}

/// What the caller is told about its credentials besides the status (RFC 6750, section 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// The token is not accepted, for this reason.
    InvalidToken(String),
    /// The token lacks this scope.
    InsufficientScope(&'static str),
}

/// A resource, by the names that the contract has for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedResource {
    /// The type, such as `customer`.
    pub kind: String,
    /// The collection in URLs, such as `customers`.
    pub collection: String,
    /// The id.
    pub id: Uuid,
}

/// A request that was already accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateRequest {
    /// The header with the key that was used before.
    pub header: &'static str,
    /// The resource that the accepted request created or changed.
    pub resource: NamedResource,
}

/// Why an operation was rejected or failed.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    details: Option<String>,
    /// For a duplicate request; boxed, because errors are passed by value.
    duplicate: Option<Box<DuplicateRequest>>,
    /// For a failed precondition: the entity tag that the resource has.
    entity_tag: Option<String>,
    cause: Option<String>,
    challenge: Option<Challenge>,
    missing_reference: bool,
    contention: bool,
    outcome_unknown: bool,
}

impl Error {
    fn new(kind: ErrorKind) -> Self {
        Self {
            kind,
            details: None,
            duplicate: None,
            entity_tag: None,
            cause: None,
            challenge: None,
            missing_reference: false,
            contention: false,
            outcome_unknown: false,
        }
    }

    fn detailed(kind: ErrorKind, details: impl Into<String>) -> Self {
        Self { details: Some(details.into()), ..Self::new(kind) }
    }

    fn caused(kind: ErrorKind, cause: impl fmt::Display) -> Self {
        Self { cause: Some(cause.to_string()), ..Self::new(kind) }
    }

    /// The input violates a rule; `details` names the rule and the field, never the value.
    pub fn invalid(details: impl Into<String>) -> Self {
        Self::detailed(ErrorKind::Invalid, details)
    }

    /// The field references a resource that the tenant does not have.
    #[must_use]
    pub fn bad_reference(field: &str) -> Self {
        let details = format!("{field}: must be the id of an existing resource");
        Self { missing_reference: true, ..Self::invalid(details) }
    }

    /// `details` says what is missing or wrong with the credentials, without repeating them.
    pub fn unauthenticated(details: impl Into<String>) -> Self {
        Self::detailed(ErrorKind::Unauthenticated, details)
    }

    /// The token is not accepted; `reason` repeats nothing of it.
    pub fn invalid_token(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        let details = format!("Authorization: {reason}");
        Self { challenge: Some(Challenge::InvalidToken(reason)), ..Self::unauthenticated(details) }
    }

    /// The token is longer than `limit` bytes.
    #[must_use]
    pub fn token_too_large(limit: usize) -> Self {
        let details = format!("Authorization: the token must not be longer than {limit} bytes");
        Self::detailed(ErrorKind::TokenTooLarge, details)
    }

    /// The token lacks this scope.
    #[must_use]
    pub fn insufficient_scope(scope: &'static str) -> Self {
        let details = format!("the token lacks the scope {scope}");
        Self::insufficient_scope_for(details, scope)
    }

    /// The same, where `details` says what needs the scope.
    #[must_use]
    pub fn insufficient_scope_for(details: String, scope: &'static str) -> Self {
        Self { challenge: Some(Challenge::InsufficientScope(scope)), ..Self::forbidden(details) }
    }

    /// `details` names the missing permission.
    pub fn forbidden(details: impl Into<String>) -> Self {
        Self::detailed(ErrorKind::Forbidden, details)
    }

    /// The same for unknown ids, malformed ids and those of other tenants.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(ErrorKind::NotFound)
    }

    /// A request with the same key, which this one has in `header`, was already accepted, and created or changed this
    /// resource.
    #[must_use]
    pub fn duplicate_request(header: &'static str, resource: NamedResource) -> Self {
        Self { duplicate: Some(Box::new(DuplicateRequest { header, resource })), ..Self::new(ErrorKind::Duplicate) }
    }

    /// The resource has this entity tag, and the caller expects another.
    #[must_use]
    pub fn precondition_failed(entity_tag: String) -> Self {
        let details = format!("If-Match: names no version that the resource has now, which is {entity_tag}");
        Self { entity_tag: Some(entity_tag), ..Self::detailed(ErrorKind::PreconditionFailed, details) }
    }

    /// The key of the request is taken; by which request, whoever has it looks up.
    #[must_use]
    pub fn claimed() -> Self {
        Self::new(ErrorKind::Duplicate)
    }

    /// The event was already applied.
    #[must_use]
    pub fn duplicate_event() -> Self {
        Self::new(ErrorKind::Duplicate)
    }

    /// `details` names the limit that the caller exceeds.
    pub fn too_many(details: impl Into<String>) -> Self {
        Self::detailed(ErrorKind::TooMany, details)
    }

    /// The service failed; `cause` is for the log.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::caused(ErrorKind::Internal, cause)
    }

    /// The same may succeed later; `cause` is for the log.
    pub fn unavailable(cause: impl fmt::Display) -> Self {
        Self::caused(ErrorKind::Unavailable, cause)
    }

    /// COMMIT was sent, but not confirmed in time or at all; `cause` is for the log.
    pub fn outcome_unknown(cause: impl fmt::Display) -> Self {
        Self { outcome_unknown: true, ..Self::unavailable(cause) }
    }

    /// Two changes conflicted and this one was rolled back: the write executor runs it again before the client hears of
    /// it.
    #[must_use]
    pub fn contention(cause: impl fmt::Display) -> Self {
        Self { contention: true, ..Self::unavailable(cause) }
    }

    /// The kind of error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The details for the client.
    #[must_use]
    pub fn details(&self) -> Option<&str> {
        self.details.as_deref()
    }

    /// For a duplicate request: what is known of the accepted one.
    #[must_use]
    pub fn duplicate(&self) -> Option<&DuplicateRequest> {
        self.duplicate.as_deref()
    }

    /// For a failed precondition: the entity tag that the resource has.
    #[must_use]
    pub fn entity_tag(&self) -> Option<&str> {
        self.entity_tag.as_deref()
    }

    /// For the log only: the client must not see it.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// What the caller is told about its credentials.
    #[must_use]
    pub fn challenge(&self) -> Option<&Challenge> {
        self.challenge.as_ref()
    }

    /// Whether a resource is missing that may yet be created: an id of the right form that the tenant has no resource for.
    #[must_use]
    pub fn is_missing_reference(&self) -> bool {
        self.missing_reference || self.kind == ErrorKind::NotFound
    }

    /// Whether the same change may succeed if it is run again at once.
    #[must_use]
    pub fn is_contention(&self) -> bool {
        self.contention
    }

    /// Whether the change may have been made after all.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        self.outcome_unknown
    }

    /// Whether the service failed, rather than the request.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        matches!(self.kind, ErrorKind::Internal | ErrorKind::Unavailable)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for Error {}
