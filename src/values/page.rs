//! Lists: which page is asked for ([`Paging`]) and how one is answered ([`List`]).

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::Type,
};
use serde::Serialize;
use serde_json::Value;

use super::query::{IntegerRange, QueryValue};
use crate::values::{ContractValue, Violation, contract_type};

/// Up to 2^53 - 1, the largest integer that every JSON reader keeps exact (RFC 8259, section 6).
const PAGE: IntegerRange = IntegerRange { default: 1, min: 1, max: 9_007_199_254_740_991, format: "int64" };
const PAGE_SIZE: IntegerRange = IntegerRange { default: 20, min: 1, max: 100, format: "int32" };

/// The parameter `page`, counted from 1.
#[derive(Debug, Clone, Copy)]
pub struct PageNumber(u64);

/// The parameter `pageSize`.
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

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Paging {
    /// How many items come before it.
    pub offset: u64,
    /// The most items it holds.
    pub limit: u64,
}

impl Paging {
    /// The page asked for by `page` and `pageSize`.
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
    /// How many items the list has on all pages.
    pub total: u64,
}

impl<T> List<T> {
    /// The same page with its items converted.
    ///
    /// # Errors
    /// The first item that cannot be converted: a page is never answered in part.
    pub fn try_map<U, E>(self, convert: impl FnMut(T) -> Result<U, E>) -> Result<List<U>, E> {
        Ok(List { data: self.data.into_iter().map(convert).collect::<Result<_, E>>()?, total: self.total })
    }
}

/// Named `CustomerList` for a `List<Customer>`: the framework would name it `List_Customer`.
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
                description: Some("How many items there are on all pages, exactly."),
                minimum: Some(0.0),
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
