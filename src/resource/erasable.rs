//! Which personal data of a resource can be erased, in its rows and in what events say of them.

use sea_orm::Condition;
use serde_json::{Map, Value};

use super::{Action, Kind, Published};

/// What stands in place of a text that was erased and may not be empty.
pub const ERASED: &str = "erased";

/// A field with personal data, by its name in the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonalField {
    /// A text that may not be empty: it becomes [`ERASED`].
    Text(&'static str),
    /// A value that may be empty: it becomes null.
    Optional(&'static str),
}

/// A resource whose personal data can be erased. The row stays, and what refers to it.
pub trait Erasable: Published {
    /// The event about the erasure of a row.
    const ERASURE: Action = Action::Updated;

    /// The fields with personal data.
    const PERSONAL: &'static [PersonalField];

    /// Which rows hold personal data.
    fn unerased() -> Condition;

    /// Erases the personal data of a row, and what it is found by.
    fn erase(row: &mut Self::Model);
}

/// The personal data in events about one type of resource.
#[derive(Debug, Clone, Copy)]
pub struct PersonalData {
    /// The type of resource.
    pub kind: Kind,
    fields: &'static [PersonalField],
}

impl PersonalData {
    /// The personal data in events about `E`.
    #[must_use]
    pub const fn of<E: Erasable>() -> Self {
        Self { kind: E::KIND, fields: E::PERSONAL }
    }

    /// Erases it from a resource, as an event holds it; returns whether there was any. A field that is not there was not
    /// in the contract when the event was written, and is not added.
    pub fn erase(&self, resource: &mut Map<String, Value>) -> bool {
        let mut erased = false;
        for field in self.fields {
            let (name, empty) = match field {
                PersonalField::Text(name) => (name, Value::from(ERASED)),
                PersonalField::Optional(name) => (name, Value::Null),
            };
            if let Some(value) = resource.get_mut(*name)
                && *value != empty
            {
                *value = empty;
                erased = true;
            }
        }
        erased
    }
}
