//! Who acts.

use crate::values::Tenant;

/// Who acts, for which tenant, in which request: what audit entries and events say of it.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The tenant whose data is acted on.
    pub tenant: Tenant,
    /// The token's subject, or else its client, or `unknown`.
    pub name: String,
    /// The client program.
    pub client: Option<String>,
    /// The request's `X-Request-ID`.
    pub request_id: String,
    /// The trace that the request belongs to (W3C Trace Context).
    pub trace_id: String,
}
