//! Audit entries about rejected requests.

use poem::http::StatusCode;
use uuid::Uuid;

use super::resources::resources;
use crate::{
    audit::{AuditAction, AuditEntry, AuditedAction},
    http::{BASE_PATH, error::ErrorCode, stack::Refusal},
    resource::Kind,
    values::{Id, IdSource},
};

/// The audit entry about a rejected request of a known caller (401, 403 or 409); `None` for any other error.
#[must_use]
pub fn entry(ids: &IdSource, refusal: &Refusal<'_>) -> Option<AuditEntry> {
    let Refusal { actor, method, route, path, error } = refusal;
    let (ErrorCode::Unauthorized | ErrorCode::Forbidden | ErrorCode::IdempotentConflict) = error.code() else {
        return None;
    };
    // A conflict is about the resource of the first request.
    let target = error.location().and_then(|location| location.strip_prefix(BASE_PATH)).unwrap_or(path);
    let (kind, id) = resource_at(target);
    let status: StatusCode = error.code().status();
    let reason = error.details().unwrap_or_default();
    let summary = format!("was refused {method} {route}: {} {reason}", status.as_u16());
    let action = AuditedAction { action: AuditAction::Refuse, kind, id, changes: Vec::new(), summary };
    AuditEntry::new(ids, actor, action).ok()
}

/// The resource type and id in a path without [`BASE_PATH`], such as `/customers/{customer_id}`.
fn resource_at(path: &str) -> (Option<Kind>, Option<Uuid>) {
    let mut parts = path.split('/').skip(1);
    let collection = parts.next();
    let kind = resources().into_iter().map(|resource| resource.kind).find(|kind| Some(kind.collection) == collection);
    (kind, parts.next().and_then(Id::parse).map(|id| id.0))
}
