//! Pagination: the requested page ([`Paging`]) and the response ([`List`]).

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::Type,
};
use serde::Serialize;
use serde_json::Value;

use super::{
    number::LARGEST,
    query::{IntegerRange, QueryValue},
};
use crate::values::{ContractValue, Violation, contract_type};

const PAGE: IntegerRange = IntegerRange { default: 1, min: 1, max: LARGEST.unsigned_abs(), format: "int64" };
const PAGE_SIZE: IntegerRange = IntegerRange { default: 20, min: 1, max: 100, format: "int32" };

/// The `page` parameter, starting at 1.
#[derive(Debug, Clone, Copy)]
pub struct PageNumber(u64);

/// The `pageSize` parameter.
#[derive(Debug, Clone, Copy)]
pub struct PageSize(u64);

impl PageNumber {
    /// Of lists that are only read on from a cursor.
    pub const FIRST: Self = Self(1);
}

impl QueryValue for PageNumber {
    type Value = Self;

    fn schema() -> MetaSchemaRef {
        PAGE.schema()
    }

    fn read(value: Option<&str>) -> Result<Self, Violation> {
        PAGE.read(value).map(Self)
    }
}

impl QueryValue for PageSize {
    type Value = Self;

    fn schema() -> MetaSchemaRef {
        PAGE_SIZE.schema()
    }

    fn read(value: Option<&str>) -> Result<Self, Violation> {
        PAGE_SIZE.read(value).map(Self)
    }
}

/// The number of rows that may be skipped to come to a page.
const DEEPEST: u64 = 10_000;

/// The requested page of a list.
#[derive(Debug, Clone, Copy)]
pub struct Paging {
    /// Number of items to skip.
    pub offset: u64,
    /// Maximum number of items.
    pub limit: u64,
}

impl Paging {
    /// The items of `page` and `pageSize`.
    ///
    /// # Errors
    /// A page so deep that all before it would have to be skipped: such are reached by `after`.
    pub fn new(PageNumber(page): PageNumber, PageSize(size): PageSize) -> Result<Self, Violation> {
        let offset = (page - 1).saturating_mul(size);
        if offset > DEEPEST {
            return Err(format!(
                "skips more than {DEEPEST} items; read on with after, by the nextCursor of the page before"
            )
            .into());
        }
        Ok(Self { offset, limit: size })
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    /// The items of the page.
    pub data: Vec<T>,
    /// Number of items across all pages, if it was asked for.
    pub total: Option<u64>,
    /// Whether there are no more than `total`.
    pub total_exact: bool,
    /// What the next page is read on with; none at the end.
    pub next_cursor: Option<String>,
}

/// `List<Customer>` is named `CustomerList`; poem-openapi would name it `List_Customer`.
impl<T: Type + Serialize> ContractValue for List<T> {
    fn name() -> Cow<'static, str> {
        format!("{}List", T::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(<Self as ContractValue>::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(<Self as ContractValue>::name().into_owned(), |registry| {
            T::register(registry);
            let items = MetaSchema {
                description: Some(
                    "The items of the page; fewer than `pageSize`, or none, also where many items had to be looked at to \
                     find those that match: `nextCursor` tells whether there is more.",
                ),
                items: Some(Box::new(T::schema_ref())),
                max_items: usize::try_from(PAGE_SIZE.max).ok(),
                ..MetaSchema::new("array")
            };
            let total = MetaSchema {
                description: Some("Number of items across all pages; `null` only where `total=false` was asked."),
                minimum: Some(0.0),
                maximum: Some(LARGEST as f64),
                example: Some(Value::from(43)),
                nullable: true,
                ..MetaSchema::new_with_format("integer", "int64")
            };
            let total_exact = MetaSchema {
                description: Some(
                    "Whether `total` is the exact number. `false`: there are at least so many, and there may be more, because \
                     with filters at most 10,000 items are looked at; also where `total=false` was asked.",
                ),
                example: Some(Value::from(true)),
                ..MetaSchema::new("boolean")
            };
            MetaSchema {
                description: Some("A page of a list."),
                required: vec!["data", TOTAL, "totalExact", "nextCursor"],
                properties: vec![
                    ("data", MetaSchemaRef::Inline(Box::new(items))),
                    (TOTAL, MetaSchemaRef::Inline(Box::new(total))),
                    ("totalExact", MetaSchemaRef::Inline(Box::new(total_exact))),
                    ("nextCursor", MetaSchemaRef::Inline(Box::new(next_cursor_schema()))),
                ],
                ..MetaSchema::new("object")
            }
        });
    }

    fn from_value(_: Value) -> Result<Self, Violation> {
        Err("is only ever answered".into())
    }
}

contract_type!(List<T>, T: Type + Serialize);

/// The field with the number of items, and the parameter by which it is left out.
pub const TOTAL: &str = "total";

/// The longest cursor: of a page that ends at a long name.
const CURSOR: usize = 4096;

/// The schema of a cursor.
#[must_use]
pub fn cursor_schema() -> MetaSchema {
    MetaSchema {
        min_length: Some(1),
        max_length: Some(CURSOR),
        pattern: Some("^[0-9A-Za-z_-]+$".to_owned()),
        example: Some("Wm9sbHN0b2NrIGlzdCBrZWluIEN1cnNvcg".into()),
        ..MetaSchema::new("string")
    }
}

/// What the next page is read on with; none at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct NextCursor(pub Option<String>);

impl ContractValue for NextCursor {
    fn name() -> Cow<'static, str> {
        "NextCursor".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(next_cursor_schema()))
    }

    fn from_value(_: Value) -> Result<Self, Violation> {
        Err("is only ever answered".into())
    }
}

contract_type!(NextCursor);

fn next_cursor_schema() -> MetaSchema {
    MetaSchema {
        description: Some("`after` of the next page, with the same filters and `sort`; `null` at the end of the list."),
        nullable: true,
        ..cursor_schema()
    }
}
