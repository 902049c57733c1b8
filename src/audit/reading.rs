//! Entries about reads of personal data, and about searches by it.

use uuid::Uuid;

use super::{
    entity::AuditAction,
    entry::{AuditEntry, AuditedAction},
    field_change::{FieldChange, sealed_fields},
};
use crate::{
    auth::Actor,
    pii::PiiVisibility,
    resource::Resource,
    values::{IdSource, page::List},
};

/// The entry about `actor` seeing personal data of these rows unmasked; `None` if there is nothing to see.
#[must_use]
pub fn reading<E: Resource>(
    ids: &IdSource,
    actor: &Actor,
    visibility: PiiVisibility,
    rows: &[E::Model],
) -> Option<AuditEntry> {
    if visibility == PiiVisibility::Masked {
        return None;
    }
    let mut fields: Vec<&'static str> = Vec::new();
    let mut seen = Vec::new();
    for row in rows {
        let sealed = sealed_fields::<E>(row);
        if !sealed.is_empty() {
            seen.push(E::id(row));
        }
        fields.extend(sealed);
    }
    fields.sort_unstable();
    fields.dedup();
    let what = fields.join(" and ");
    let (id, summary) = match seen.as_slice() {
        [] => return None,
        [id] => (Some(*id), format!("saw {what} of the {} in clear", E::KIND.name)),
        ids => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            (None, format!("saw {what} of {} {} in clear: {}", ids.len(), E::KIND.collection, ids.join(", ")))
        }
    };
    entry::<E>(ids, actor, &fields, id, summary)
}

/// The entry about `actor` finding rows by these fields, without what was searched for; `None` if nothing was found, or
/// by no such field. A page past the last one shows no row, but its total confirms too.
#[must_use]
pub fn search<E: Resource>(
    ids: &IdSource,
    actor: &Actor,
    searched: &[&'static str],
    found: &List<E::Model>,
) -> Option<AuditEntry> {
    if searched.is_empty() || found.total == 0 {
        return None;
    }
    let fields = searched.join(" and ");
    let (id, summary) = match (found.total, found.data.as_slice()) {
        (1, [row]) => (Some(E::id(row)), format!("found the {} by its {fields}", E::KIND.name)),
        (total, _) => (None, format!("found {total} {} by {fields}", E::KIND.collection)),
    };
    entry::<E>(ids, actor, searched, id, summary)
}

fn entry<E: Resource>(
    ids: &IdSource,
    actor: &Actor,
    fields: &[&'static str],
    id: Option<Uuid>,
    summary: String,
) -> Option<AuditEntry> {
    let changes = fields.iter().map(|field| FieldChange { field: (*field).to_owned(), old: None, new: None });
    let action =
        AuditedAction { action: AuditAction::Read, kind: Some(E::KIND), id, changes: changes.collect(), summary };
    AuditEntry::new(ids, actor, action).ok()
}
