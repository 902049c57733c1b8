//! What the audit trail may record of a row's field.

use crate::pii::Sealed;

/// A field of a row: its name in the contract, and what the audit trail may record of its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditField<'r> {
    /// Not personal data: the value is recorded.
    Plain(&'static str, Option<String>),
    /// Personal data, or free text that may contain it: only the fact that it changed is recorded.
    Personal(&'static str, Option<&'r str>),
    /// A phone number or e-mail address: only the fact that it changed or was seen unmasked is recorded.
    Sealed(&'static str, Option<&'r Sealed>),
}

impl AuditField<'_> {
    /// The field's name in the contract.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plain(field, _) | Self::Personal(field, _) | Self::Sealed(field, _) => field,
        }
    }

    /// Whether the field is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Plain(_, None) | Self::Personal(_, None) | Self::Sealed(_, None))
    }

    /// The value, if it may be recorded.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Plain(_, value) => value.as_deref(),
            Self::Personal(..) | Self::Sealed(..) => None,
        }
    }
}
