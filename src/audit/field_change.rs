//! The differences between two versions of a row, by field and in words.

use serde::{Deserialize, Serialize};

use crate::resource::{AuditField, Resource};

/// A field that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The field's name in the contract.
    pub field: String,
    /// The previous value; `None` if it was empty or is personal data.
    pub old: Option<String>,
    /// The new value; `None` if it is empty or personal data.
    pub new: Option<String>,
}

/// The fields that differ; `None` stands for a missing row.
#[must_use]
pub fn changes<E: Resource>(before: Option<&E::Model>, after: Option<&E::Model>) -> Vec<FieldChange> {
    steps::<E>(before, after)
        .into_iter()
        .map(|(old, new)| FieldChange {
            field: old.as_ref().or(new.as_ref()).map(|field| field.name().to_owned()).unwrap_or_default(),
            old: old.as_ref().and_then(AuditField::value).map(str::to_owned),
            new: new.as_ref().and_then(AuditField::value).map(str::to_owned),
        })
        .collect()
}

/// The changes in words, such as `changed stage from Proposal to Won`.
#[must_use]
pub fn sentence<E: Resource>(before: &E::Model, after: &E::Model) -> String {
    let words = |(old, new): (Option<AuditField<'_>>, Option<AuditField<'_>>)| {
        let field = old.as_ref().or(new.as_ref()).map(AuditField::name).unwrap_or_default();
        let value = |field: &Option<AuditField<'_>>| field.as_ref().and_then(AuditField::value).map(str::to_owned);
        match (&old, value(&old), &new, value(&new)) {
            (_, Some(old), _, Some(new)) => format!("changed {field} from {old} to {new}"),
            (_, Some(old), None, _) => format!("cleared {field}, which was {old}"),
            (None, _, _, Some(new)) => format!("set {field} to {new}"),
            (None, ..) => format!("set {field}"),
            (_, _, None, _) => format!("cleared {field}"),
            _ => format!("changed {field}"),
        }
    };
    steps::<E>(Some(before), Some(after)).into_iter().map(words).collect::<Vec<_>>().join(", ")
}

/// The names of the row's phone number and e-mail fields that are not empty.
#[must_use]
pub fn sealed_fields<E: Resource>(row: &E::Model) -> Vec<&'static str> {
    E::audit_fields(row)
        .into_iter()
        .filter_map(|field| match field {
            AuditField::Sealed(name, Some(_)) => Some(name),
            _ => None,
        })
        .collect()
}

/// The previous and the new value of each field that differs; empty fields are `None`.
fn steps<'r, E: Resource>(
    before: Option<&'r E::Model>,
    after: Option<&'r E::Model>,
) -> Vec<(Option<AuditField<'r>>, Option<AuditField<'r>>)> {
    let (before, after) =
        (before.map(E::audit_fields).unwrap_or_default(), after.map(E::audit_fields).unwrap_or_default());
    let filled = |field: &AuditField<'r>| (!field.is_empty()).then(|| field.clone());
    (0..before.len().max(after.len()))
        .map(|field| (before.get(field).and_then(filled), after.get(field).and_then(filled)))
        .filter(|(old, new)| old != new)
        .collect()
}
