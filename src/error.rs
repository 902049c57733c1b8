//! The one error inside the service: [`Error`].
//!
//! What a client may read of it is chosen where it is made (`details`); the text of a cause (SQL, file names, panics) goes
//! to the log and no further. How it is answered over HTTP is decided in `http::error`.

use std::fmt;

use uuid::Uuid;

/// The result of everything that can be refused or fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input breaks a rule.
    Invalid,
    /// It is not known who asks.
    Unauthenticated,
    /// Who asks may not do this.
    Forbidden,
    /// The tenant has no such resource.
    NotFound,
    /// The same request or event was accepted before.
    Duplicate,
    /// The service failed.
    Internal,
    /// The service cannot do it now, but may do it later.
    Unavailable,
}

/// Why something is not done as asked.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    details: Option<String>,
    /// The resource that the first of several equal requests made or changed: its collection and id.
    resource: Option<(String, Uuid)>,
    cause: Option<String>,
    contention: bool,
    outcome_unknown: bool,
}

impl Error {
    fn new(kind: ErrorKind) -> Self {
        Self { kind, details: None, resource: None, cause: None, contention: false, outcome_unknown: false }
    }

    fn detailed(kind: ErrorKind, details: impl Into<String>) -> Self {
        Self { details: Some(details.into()), ..Self::new(kind) }
    }

    fn caused(kind: ErrorKind, cause: impl fmt::Display) -> Self {
        Self { cause: Some(cause.to_string()), ..Self::new(kind) }
    }

    /// The input breaks a rule; `details` names the rule and the field, never the value.
    pub fn invalid(details: impl Into<String>) -> Self {
        Self::detailed(ErrorKind::Invalid, details)
    }

    /// The field refers to a resource that the tenant does not have.
    #[must_use]
    pub fn bad_reference(field: &str) -> Self {
        Self::invalid(format!("{field}: must be the id of an existing resource"))
    }

    /// `details` says what is missing or wrong with the credentials, without repeating them.
    pub fn unauthenticated(details: impl Into<String>) -> Self {
        Self::detailed(ErrorKind::Unauthenticated, details)
    }

    /// `details` names the permission that is lacking.
    pub fn forbidden(details: impl Into<String>) -> Self {
        Self::detailed(ErrorKind::Forbidden, details)
    }

    /// The same for an unknown, a malformed and another tenant's id.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(ErrorKind::NotFound)
    }

    /// A request with the same id was accepted before, and made or changed this resource.
    #[must_use]
    pub fn duplicate_request(collection: String, id: Uuid) -> Self {
        Self { resource: Some((collection, id)), ..Self::new(ErrorKind::Duplicate) }
    }

    /// The event was applied before.
    #[must_use]
    pub fn duplicate_event() -> Self {
        Self::new(ErrorKind::Duplicate)
    }

    /// The service failed: `cause` is for our log.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::caused(ErrorKind::Internal, cause)
    }

    /// The same may succeed later: `cause` is for our log.
    pub fn unavailable(cause: impl fmt::Display) -> Self {
        Self::caused(ErrorKind::Unavailable, cause)
    }

    /// COMMIT was sent, and its answer did not come or not in time: `cause` is for our log.
    pub fn outcome_unknown(cause: impl fmt::Display) -> Self {
        Self { outcome_unknown: true, ..Self::unavailable(cause) }
    }

    /// Two changes met and this one gave way: the write executor runs it again before the client hears of it.
    #[must_use]
    pub fn contention(cause: impl fmt::Display) -> Self {
        Self { contention: true, ..Self::unavailable(cause) }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What exactly is wrong, for the client.
    #[must_use]
    pub fn details(&self) -> Option<&str> {
        self.details.as_deref()
    }

    /// Of a duplicate request, the collection and the id of the resource that the first one made or changed.
    #[must_use]
    pub fn resource(&self) -> Option<(&str, Uuid)> {
        self.resource.as_ref().map(|(collection, id)| (collection.as_str(), *id))
    }

    /// What our log should say and the client must not see.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// Whether the same change may succeed when it is run again at once.
    #[must_use]
    pub fn is_contention(&self) -> bool {
        self.contention
    }

    /// Whether the change may have been made all the same.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        self.outcome_unknown
    }

    /// Whether the service failed, and not the request.
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
