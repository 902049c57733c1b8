//! Personal data as rows hold it, and where.

use std::fmt;

use sea_orm::DeriveValueType;
use uuid::Uuid;

use crate::config::Country;

/// Personal data as a row holds it: sealed, or in clear where sealing is off.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct Sealed(pub(super) String);

impl Sealed {
    /// Whether the value is stored in clear. What is sealed begins with a `*`, which no phone number or e-mail address may
    /// contain.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        !self.0.contains('*')
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a row's personal data is found by, without being opened.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct BlindIndex(pub(super) String);

impl fmt::Debug for BlindIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A column for personal data, with the column for its blind index.
#[derive(Debug, Clone, Copy)]
pub struct PiiField {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub name: &'static str,
    /// The column with the blind index.
    pub index: &'static str,
    /// Makes the form that is indexed.
    pub normalize: fn(&str, Country) -> String,
}

/// The row that personal data belongs to.
#[derive(Debug, Clone, Copy)]
pub struct PiiLocation<'r> {
    /// The tenant that the row belongs to.
    pub tenant: &'r str,
    /// The row's id.
    pub id: Uuid,
}

/// A table with personal data, for [`rotate`](super::rotate).
#[derive(Debug, Clone, Copy)]
pub struct PiiTable {
    /// The table.
    pub name: &'static str,
    /// The column with the row's id.
    pub id: &'static str,
    /// The columns for personal data.
    pub columns: &'static [PiiField],
}
