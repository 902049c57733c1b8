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

/// The requested slice of a list.
#[derive(Debug, Clone, Copy)]
pub struct Paging {
    /// Number of items to skip.
    pub offset: u64,
    /// Maximum number of items.
    pub limit: u64,
}

impl Paging {
    /// The slice for `page` and `pageSize`.
    #[must_use]
    pub fn new(PageNumber(page): PageNumber, PageSize(size): PageSize) -> Self {
        Self { offset: (page - 1) * size, limit: size }
    }
}

/// A page of a list, newest first.
#[derive(Debug, Serialize)]
pub struct List<T> {
    /// The items of the page.
    pub data: Vec<T>,
    /// Number of items across all pages.
    pub total: u64,
}

impl<T> List<T> {
    /// Converts the items.
    ///
    /// # Errors
    /// The first conversion error: a page is never returned in part.
    pub fn try_map<U, E>(self, convert: impl FnMut(T) -> Result<U, E>) -> Result<List<U>, E> {
        Ok(List { data: self.data.into_iter().map(convert).collect::<Result<_, E>>()?, total: self.total })
    }
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
                description: Some("The items of the page, newest first; empty past the last page."),
                items: Some(Box::new(T::schema_ref())),
                max_items: usize::try_from(PAGE_SIZE.max).ok(),
                ..MetaSchema::new("array")
            };
            let total = MetaSchema {
                description: Some("Exact number of items across all pages."),
                minimum: Some(0.0),
                maximum: Some(LARGEST as f64),
                example: Some(Value::from(1)),
                ..MetaSchema::new_with_format("integer", "int64")
            };
            MetaSchema {
                description: Some("A page of a list."),
                required: vec!["data", "total"],
                properties: vec![
                    ("data", MetaSchemaRef::Inline(Box::new(items))),
                    ("total", MetaSchemaRef::Inline(Box::new(total))),
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
