//! Contract types of changes.

use poem_openapi::{
    Enum, Object,
    registry::{MetaSchema, MetaSchemaRef},
};
use serde::Serialize;

use super::cursor::ChangeCursor;
use crate::{
    events::types::Version,
    values::{Id, Violation, query::QueryValue},
};

/// The type of a resource: what it is called elsewhere too. New values may be added: ignore one that you do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum ChangedType {
    /// A customer.
    Customer,
    /// A contact of a customer.
    Contact,
    /// An opportunity.
    Opportunity,
    /// A follow-up.
    FollowUp,
}

impl ChangedType {
    /// All types.
    pub const ALL: [Self; 4] = [Self::Customer, Self::Contact, Self::Opportunity, Self::FollowUp];

    /// Its name in the contract, and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Contact => "contact",
            Self::Opportunity => "opportunity",
            Self::FollowUp => "followUp",
        }
    }

    /// The type of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// The last change of a resource.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The type of the resource.
    pub resource_type: ChangedType,
    /// The id of the resource.
    pub resource_id: Id,
    /// How many events there have been about the resource: the version that its last one has.
    pub version: Version,
    /// Whether the resource is deleted.
    pub deleted: bool,
}

/// A page of changes.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ChangeList {
    /// The resources that changed, in the order of their last changes; empty if nothing has changed since.
    #[oai(validator(max_items = 1000))]
    pub data: Vec<Change>,
    /// How far the reader is now, to be sent as `after` in the next request, however much later. Opaque.
    pub next_cursor: ChangeCursor,
}

/// The `types` parameter: types of resources, separated by commas.
#[derive(Debug)]
pub struct ChangedTypes;

impl ChangedTypes {
    fn names() -> [&'static str; 4] {
        ChangedType::ALL.map(ChangedType::name)
    }
}

impl QueryValue for ChangedTypes {
    type Value = Vec<ChangedType>;

    fn schema() -> MetaSchemaRef {
        let one = format!("({})", Self::names().join("|"));
        let further = ChangedType::ALL.len() - 1;
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            max_length: Some(64),
            pattern: Some(format!("^{one}(,{one}){{0,{further}}}$")),
            example: Some("customer,contact".into()),
            ..MetaSchema::new("string")
        }))
    }

    /// All, if none is named.
    fn read(value: Option<&str>) -> Result<Vec<ChangedType>, Violation> {
        let Some(text) = value else { return Ok(ChangedType::ALL.to_vec()) };
        let asked: Option<Vec<ChangedType>> = text.split(',').map(ChangedType::named).collect();
        match asked {
            Some(asked) if asked.len() <= ChangedType::ALL.len() => {
                Ok(ChangedType::ALL.into_iter().filter(|one| asked.contains(one)).collect())
            }
            Some(_) => Err(format!("must be at most {} types", ChangedType::ALL.len()).into()),
            None => Err(format!("must be of {}, separated by commas", Self::names().join(", ")).into()),
        }
    }
}
