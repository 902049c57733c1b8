//! Entries about reads of personal data, and about searches by it.

use uuid::Uuid;

use super::{
    entity::AuditAction,
    entry::{AuditEntry, AuditedAction},
    field_change::{FieldChange, sealed_fields},
};
use crate::{auth::Actor, database::list::Rows, pii::PiiVisibility, resource::Resource, values::IdSource};

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
/// by no such field.
#[must_use]
pub fn search<E: Resource>(
    ids: &IdSource,
    actor: &Actor,
    searched: &[&'static str],
    found: &Rows<E::Model>,
) -> Option<AuditEntry> {
    let total = found.total.map_or(found.data.len() as u64, |total| total.rows);
    if searched.is_empty() || total == 0 {
        return None;
    }
    let fields = searched.join(" and ");
    let (id, what) = match (total, found.data.as_slice()) {
        (1, [row]) => (Some(E::id(row)), format!("the {}", E::KIND.name)),
        // A page past the last one shows no row, but its total confirms too.
        (total, _) => (None, format!("{total} of the {}", E::KIND.collection)),
    };
    let ids_shown: Vec<String> = found.data.iter().map(|row| E::id(row).to_string()).collect();
    let shown =
        if id.is_some() || ids_shown.is_empty() { String::new() } else { format!(": {}", ids_shown.join(", ")) };
    let mut seen: Vec<&'static str> =
        found.data.iter().flat_map(sealed_fields::<E>).chain(searched.iter().copied()).collect();
    seen.sort_unstable();
    seen.dedup();
    entry::<E>(ids, actor, &seen, id, format!("found {what} in clear, by {fields}{shown}"))
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
