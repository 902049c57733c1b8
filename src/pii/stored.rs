//! Personal data as rows hold it, and where.

use std::fmt;

use sea_orm::{
    ActiveValue, ColIdx, IntoActiveValue, QueryResult, TryGetError, TryGetable, Value,
    sea_query::{ArrayType, ColumnType, Nullable, ValueType, ValueTypeErr},
};
use uuid::Uuid;

use super::normalize::Forms;
use crate::{config::Country, database::decode::stored_text};

/// Makes a type of columns of text, most of which are missing in most rows. What `DeriveValueType` makes describes each missing one.
macro_rules! text_column {
    ($name:ident) => {
        impl From<$name> for Value {
            fn from(stored: $name) -> Self {
                stored.0.into()
            }
        }

        impl TryGetable for $name {
            fn try_get_by<I: ColIdx>(row: &QueryResult, column: I) -> Result<Self, TryGetError> {
                stored_text(row, column).map(Self)
            }
        }

        impl ValueType for $name {
            fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
                <String as ValueType>::try_from(value).map(Self)
            }

            fn type_name() -> String {
                stringify!($name).to_owned()
            }

            fn array_type() -> ArrayType {
                String::array_type()
            }

            fn column_type() -> ColumnType {
                String::column_type()
            }
        }

        impl Nullable for $name {
            fn null() -> Value {
                String::null()
            }
        }

        impl IntoActiveValue<Self> for $name {
            fn into_active_value(self) -> ActiveValue<Self> {
                ActiveValue::Set(self)
            }
        }
    };
}

text_column!(Sealed);
text_column!(BlindIndex);

/// Personal data as a row holds it: sealed, or in clear where sealing is off.
#[derive(Clone, PartialEq, Eq)]
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
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlindIndex(pub(super) String);

impl fmt::Debug for BlindIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The blind indexes of a value: one for each of its [`Forms`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Indexes {
    /// That of the whole value.
    pub full: BlindIndex,
    /// That of a phone number without its extension, where it has one.
    pub base: Option<BlindIndex>,
}

/// A column for personal data, with the columns that a value is found by.
///
/// The release before knows only `index`, and fills it with its one form. What it changes is told by `indexed`, which it leaves
/// as it was: where that does not repeat `index`, the row is to be indexed anew, and `base` does not count.
#[derive(Debug, Clone, Copy)]
pub struct PiiField {
    /// The table.
    pub table: &'static str,
    /// The column with the row's id.
    pub id: &'static str,
    /// The column.
    pub name: &'static str,
    /// The column with the blind index of the whole value.
    pub index: &'static str,
    /// The column that repeats the blind index, once it is of the present form.
    pub indexed: &'static str,
    /// The column with the blind index of a phone number without its extension, where it has one.
    pub base: Option<&'static str>,
    /// The forms that a stored value is found by.
    pub forms: fn(&str, Country) -> Forms,
    /// The forms under which a value may be stored that is searched.
    pub lookups: fn(&str, Country) -> Vec<String>,
}

impl PiiField {
    /// Where a value is, in words for operators.
    pub(super) fn place(&self, PiiLocation { tenant, id }: PiiLocation<'_>) -> String {
        format!("{}.{} of row {id} of tenant {tenant}", self.table, self.name)
    }
}

/// What a row holds of a value, in the columns of a [`PiiField`].
#[derive(Debug)]
pub struct PiiSlot<'r> {
    /// The value.
    pub sealed: &'r mut Option<Sealed>,
    /// The blind index of the whole value.
    pub index: &'r mut Option<BlindIndex>,
    /// The same again.
    pub indexed: &'r mut Option<BlindIndex>,
    /// The blind index of a phone number without its extension, where the field has such a column.
    pub base: Option<&'r mut Option<BlindIndex>>,
}

impl PiiSlot<'_> {
    /// Takes the value out of the row, with all that it is found by.
    pub fn clear(self) {
        self.put(None);
    }

    /// Puts a value into the row in place of the one that is there.
    pub(super) fn put(self, value: Option<(Sealed, Indexes)>) {
        let (sealed, indexes) = value.unzip();
        let (full, base) = indexes.map(|Indexes { full, base }| (full, base)).unzip();
        *self.sealed = sealed;
        self.index.clone_from(&full);
        *self.indexed = full;
        if let Some(column) = self.base {
            *column = base.flatten();
        }
    }
}

/// The row that personal data belongs to.
#[derive(Debug, Clone, Copy)]
pub struct PiiLocation<'r> {
    /// The tenant that the row belongs to.
    pub tenant: &'r str,
    /// The row's id.
    pub id: Uuid,
}

/// A table with personal data, for [`rotate`](super::rotate) and [`reindex`](super::reindex).
#[derive(Debug, Clone, Copy)]
pub struct PiiTable {
    /// The table.
    pub name: &'static str,
    /// The column with the row's id.
    pub id: &'static str,
    /// The columns for personal data.
    pub columns: &'static [PiiField],
}
