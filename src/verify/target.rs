//! The service that is verified, and who asks it.

use super::documents::Documents;
use crate::config::DatabaseUrl;

/// Somebody with a token.
#[derive(Clone)]
pub struct Caller {
    /// The token.
    pub token: String,
    /// The tenant to name in `X-Tenant-Id`, if any.
    pub tenant: Option<String>,
}

/// What the walk knows of an instance that was started for it alone.
pub struct Own {
    /// Its database.
    pub database: DatabaseUrl,
    /// A caller of another tenant.
    pub elsewhere: Caller,
    /// A caller of the same tenant who may not see personal data.
    pub reader: Caller,
}

/// The service that is verified.
pub struct Target {
    /// Where its operations are: with the gateway's prefix, if there is one.
    pub base: String,
    /// Who asks.
    pub caller: Caller,
    /// Whether a customer may be made, changed and deleted.
    pub may_write: bool,
    /// Where it is an instance of the walk's own.
    pub own: Option<Own>,
    /// The delivery's documents.
    pub documents: Documents,
}

/// The tenant that the walk asks for besides the caller's, where no instance of its own has another.
pub(super) const ELSEWHERE: &str = "crm-verify-elsewhere";

/// Why a line that needs writing is not checked.
pub(super) const NEEDS_WRITING: &str =
    "it takes a customer that is made and deleted again: allow that with --write, or leave out --url";
