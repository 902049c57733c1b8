//! A field of a row, as the audit trail sees it.

use crate::pii::Sealed;

/// A field of a row: its name in the contract and what the trail may hold of its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditField<'r> {
    /// Not personal: its value may stand in the trail, in the words of the contract.
    Plain(&'static str, Option<String>),
    /// Personal, or free text that may be: only that it changed.
    Personal(&'static str, Option<&'r str>),
    /// A phone number or an e-mail address: only that it changed, and that it was seen.
    Sealed(&'static str, Option<&'r Sealed>),
}

impl AuditField<'_> {
    /// Its name in the contract.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plain(field, _) | Self::Personal(field, _) | Self::Sealed(field, _) => field,
        }
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Plain(_, None) | Self::Personal(_, None) | Self::Sealed(_, None))
    }

    /// The value, where it may stand in the trail.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Plain(_, value) => value.as_deref(),
            Self::Personal(..) | Self::Sealed(..) => None,
        }
    }
}
