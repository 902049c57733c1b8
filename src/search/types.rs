//! Contract types of searches.

use poem_openapi::{
    Object,
    registry::{MetaSchema, MetaSchemaRef},
};
use serde::Serialize;
use serde_json::Value;

use super::highlight::{FRAGMENT, Highlight};
use crate::{
    events::changes::types::ChangedType,
    values::{
        ContractValue, Id, Nullable, Shown, Violation, contract_type,
        query::{IntegerRange, QueryValue},
        shown::{FieldName, ShownText},
    },
};

/// What a search found.
#[derive(Debug, Object, Serialize)]
pub struct SearchResult {
    /// The resources, the best first: those whose whole text is what was searched, those that begin with it, those of which each
    /// word begins one, and the others; the newest of each first.
    #[oai(validator(max_items = 50))]
    pub data: Vec<SearchHit>,
    /// Whether all was looked through. `false`: more resources may match, because the words are in so many that only the newest,
    /// or some, were looked at (1,000 of a type), or because what was written last is not in the index yet. More words find more.
    pub complete: bool,
}

/// A resource that a search found.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct SearchHit {
    /// The type of the resource.
    pub resource_type: ChangedType,
    /// The id of the resource.
    pub resource_id: Id,
    /// The customer that it belongs to; `null` for a customer, and for a follow-up without one.
    pub customer_id: Nullable<Id>,
    /// Its name, its title, or the beginning of its content: at most 200 characters.
    pub title: Shown<HitTitle>,
    /// What matched.
    #[oai(validator(max_items = 3))]
    pub matches: Vec<SearchMatch>,
}

/// A field that matched.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct SearchMatch {
    /// The name of the field.
    pub field: Shown<FieldName>,
    /// The part of it around the first word, at most 160 characters; `null` for a phone number and an e-mail address, which match
    /// as a whole.
    pub fragment: Nullable<Shown<Fragment>>,
    /// Where the fragment begins in the field: how many characters (Unicode code points) are before it.
    pub fragment_start: Offset,
    /// Where in the field words stand that are searched, as far as the fragment goes.
    #[oai(validator(max_items = 20))]
    pub ranges: Vec<SearchRange>,
}

/// A part of a field, in characters (Unicode code points) of it, from 0.
#[derive(Debug, Object, Serialize)]
pub struct SearchRange {
    /// The first character.
    pub start: Offset,
    /// The first character behind it.
    pub end: Offset,
}

impl SearchMatch {
    /// Words in a text.
    pub(super) fn of_text(field: &str, Highlight { fragment, start, places }: Highlight) -> Self {
        let range = |(start, end)| SearchRange { start: Offset(start), end: Offset(end) };
        Self {
            field: field.into(),
            fragment: Nullable(Some(fragment.into())),
            fragment_start: Offset(start),
            ranges: places.into_iter().map(range).collect(),
        }
    }

    /// A value that is found as a whole.
    pub(super) fn whole(field: &str) -> Self {
        Self { field: field.into(), fragment: Nullable(None), fragment_start: Offset(0), ranges: Vec::new() }
    }
}

/// The most characters of a title.
pub(super) const TITLE: usize = 200;

/// What a resource is called.
#[derive(Debug)]
pub struct HitTitle;

impl ShownText for HitTitle {
    const MAX: usize = TITLE;
    const EXAMPLE: &'static str = "Acme Trading Ltd";
}

/// A part of a text.
#[derive(Debug)]
pub struct Fragment;

impl ShownText for Fragment {
    const MAX: usize = FRAGMENT;
    const EXAMPLE: &'static str = "Acme Trading Ltd";
}

/// A number of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Offset(pub usize);

impl ContractValue for Offset {
    fn name() -> std::borrow::Cow<'static, str> {
        "Offset".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            minimum: Some(0.0),
            maximum: Some(10_000.0),
            example: Some(Value::from(0)),
            ..MetaSchema::new_with_format("integer", "int32")
        }))
    }

    fn from_value(_: Value) -> Result<Self, Violation> {
        Err("is only ever answered".into())
    }
}

contract_type!(Offset);

/// The `types` parameter.
#[derive(Debug)]
pub struct TypesFilter;

impl QueryValue for TypesFilter {
    type Value = Vec<ChangedType>;

    fn schema() -> MetaSchemaRef {
        let names = ChangedType::ALL.map(ChangedType::name).join("|");
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            max_length: Some(64),
            pattern: Some(format!("^({names})(,({names})){{0,3}}$")),
            example: Some("customer,contact".into()),
            ..MetaSchema::new("string")
        }))
    }

    fn read(value: Option<&str>) -> Result<Vec<ChangedType>, Violation> {
        let Some(text) = value else { return Ok(ChangedType::ALL.to_vec()) };
        let names: Vec<&str> = text.split(',').collect();
        let types: Vec<ChangedType> = ChangedType::ALL.into_iter().filter(|one| names.contains(&one.name())).collect();
        let are_known = names.iter().all(|name| ChangedType::ALL.iter().any(|one| one.name() == *name));
        match are_known && names.len() <= ChangedType::ALL.len() {
            true => Ok(types),
            false => Err("must be customer, contact, opportunity or followUp, or several separated by commas".into()),
        }
    }
}

/// The `limit` parameter.
#[derive(Debug)]
pub struct Limit;

impl Limit {
    const RANGE: IntegerRange = IntegerRange { default: 20, min: 1, max: 50, format: "int32" };
}

impl QueryValue for Limit {
    type Value = u64;

    fn schema() -> MetaSchemaRef {
        Self::RANGE.schema()
    }

    fn read(value: Option<&str>) -> Result<u64, Violation> {
        Self::RANGE.read(value)
    }
}
