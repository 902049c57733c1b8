//! Which rejected requests the audit trail is told of.

use poem::http::StatusCode;
use uuid::Uuid;

use super::resources::resources;
use crate::{
    audit::Refused,
    http::{BASE_PATH, error::ErrorCode, stack::Refusal},
    resource::Kind,
    values::Id,
};

/// What the audit trail is told of a rejected request: that a caller with a valid token may not do this, or has done it
/// already (403, 409). Nothing of any other error: with an invalid token, also an expired one, anybody could fill the trail.
#[must_use]
pub fn refused(refusal: &Refusal<'_>) -> Option<Refused> {
    let Refusal { actor, method, route, path, error } = refusal;
    let (ErrorCode::Forbidden | ErrorCode::IdempotentConflict) = error.code() else {
        return None;
    };
    // A conflict is about the resource of the first request.
    let target = error.location().and_then(|location| location.strip_prefix(BASE_PATH)).unwrap_or(path);
    let status: StatusCode = error.code().status();
    Some(Refused {
        actor: (*actor).clone(),
        operation: format!("{method} {route}"),
        status: status.as_u16(),
        reason: error.details().unwrap_or_default().to_owned(),
        resource: resource_at(target),
    })
}

/// The resource type and id in a path without [`BASE_PATH`], such as `/customers/{customer_id}`.
fn resource_at(path: &str) -> (Option<Kind>, Option<Uuid>) {
    let mut parts = path.split('/').skip(1);
    let collection = parts.next();
    let kind = resources().into_iter().map(|resource| resource.kind).find(|kind| Some(kind.collection) == collection);
    (kind, parts.next().and_then(Id::parse).map(|id| id.0))
}
