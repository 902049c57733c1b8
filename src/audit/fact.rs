//! What a resource tells of itself to the trail, and what a change of it is in words.

use serde::{Deserialize, Serialize};

use crate::{database::tenancy::Resource, kind::Kind, pii::Sealed};

/// A field of a row, as the trail sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<'r> {
    /// Not personal: its value may stand in the trail, in the words of the contract.
    Plain(&'static str, Option<String>),
    /// Personal, or free text that may be: only that it changed.
    Personal(&'static str, Option<&'r str>),
    /// A phone number or an e-mail address: only that it changed, and that it was seen.
    Sealed(&'static str, Option<&'r Sealed>),
}

/// An entity whose changes leave entries in the trail.
pub trait Audited: Resource {
    /// What its rows are.
    const KIND: Kind;

    /// The row's fields, always the same ones in the same order. Ids, instants and what follows from other fields are left
    /// out.
    fn facts(row: &Self::Model) -> Vec<Fact<'_>>;
}

/// A field that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Its name in the contract.
    pub field: String,
    /// Its value before; none where it was empty or is personal.
    pub old: Option<String>,
    /// Its value after; none where it is empty or personal.
    pub new: Option<String>,
}

impl Fact<'_> {
    fn field(&self) -> &'static str {
        match self {
            Self::Plain(field, _) | Self::Personal(field, _) | Self::Sealed(field, _) => field,
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Plain(_, None) | Self::Personal(_, None) | Self::Sealed(_, None))
    }

    /// The value, where it may stand in the trail.
    fn value(&self) -> Option<&str> {
        match self {
            Self::Plain(_, value) => value.as_deref(),
            Self::Personal(..) | Self::Sealed(..) => None,
        }
    }
}

/// The fields that differ; `None` stands for a resource that is not there.
#[must_use]
pub fn changes<E: Audited>(before: Option<&E::Model>, after: Option<&E::Model>) -> Vec<FieldChange> {
    steps::<E>(before, after)
        .into_iter()
        .map(|(old, new)| FieldChange {
            field: old.as_ref().or(new.as_ref()).map(|fact| fact.field().to_owned()).unwrap_or_default(),
            old: old.as_ref().and_then(Fact::value).map(str::to_owned),
            new: new.as_ref().and_then(Fact::value).map(str::to_owned),
        })
        .collect()
}

/// What happened to a resource that was changed, for people: `changed stage from Proposal to Won`.
#[must_use]
pub fn sentence<E: Audited>(before: &E::Model, after: &E::Model) -> String {
    let words = |(old, new): (Option<Fact<'_>>, Option<Fact<'_>>)| {
        let field = old.as_ref().or(new.as_ref()).map(Fact::field).unwrap_or_default();
        let value = |fact: &Option<Fact<'_>>| fact.as_ref().and_then(Fact::value).map(str::to_owned);
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

/// The fields of the row that are shown to callers who may see personal data in clear.
#[must_use]
pub fn sealed_fields<E: Audited>(row: &E::Model) -> Vec<&'static str> {
    E::facts(row)
        .into_iter()
        .filter_map(|fact| match fact {
            Fact::Sealed(field, Some(_)) => Some(field),
            _ => None,
        })
        .collect()
}

/// Before and after of each field that differs; an empty field is none.
fn steps<'r, E: Audited>(
    before: Option<&'r E::Model>,
    after: Option<&'r E::Model>,
) -> Vec<(Option<Fact<'r>>, Option<Fact<'r>>)> {
    let (before, after) = (before.map(E::facts).unwrap_or_default(), after.map(E::facts).unwrap_or_default());
    let filled = |fact: &Fact<'r>| (!fact.is_empty()).then(|| fact.clone());
    (0..before.len().max(after.len()))
        .map(|field| (before.get(field).and_then(filled), after.get(field).and_then(filled)))
        .filter(|(old, new)| old != new)
        .collect()
}
