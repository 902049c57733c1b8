//! What every list of resources can be asked: [`Listing`] is one argument of its operation, declared in the contract as the
//! parameter `sort` and, beside it, those of [`beside_sort`].

use std::{marker::PhantomData, ops::Bound};

use chrono::{DateTime, Utc};
use poem::Request;
use poem_openapi::registry::MetaSchemaRef;

use super::{
    pages::{After, Page},
    query::{Query, query_parameter},
};
use crate::{
    database::{
        list::{Criterion, Direction, ListQuery, Order, Slice, Total},
        tenancy::Listed,
    },
    error::Result,
    pii::PiiCipher,
    values::{
        Tenant, Violation,
        page::{PageNumber, PageSize, TOTAL, cursor_schema},
        query::{
            InstantFilter, OnSwitch, QueryValue,
            sort::{self, Sorted},
        },
    },
};

/// The parameter in whose place a [`Listing`] stands.
pub(super) const SORT: &str = "sort";

/// The parameters that go with `sort`, each with its description and its schema, in the order of the contract.
pub(super) fn beside_sort() -> [(&'static str, &'static str, MetaSchemaRef); 7] {
    let cursor = MetaSchemaRef::Inline(Box::new(cursor_schema()));
    [
        ("createdFrom", "Only items created at or after this time.", InstantFilter::schema()),
        ("createdTo", "Only items created before this time.", InstantFilter::schema()),
        ("updatedSince", "Only items changed at or after this time, or created.", InstantFilter::schema()),
        ("page", "Page number, starting at 1. Beyond 10,000 items, read on with `after`.", PageNumber::schema()),
        ("pageSize", "Number of items per page.", PageSize::schema()),
        (
            "after",
            "Only what comes behind this cursor: the `nextCursor` of a page with the same filters and `sort`.",
            cursor,
        ),
        (
            TOTAL,
            "Whether the items across all pages are counted, as without it; with `false`, `total` is `null`.",
            OnSwitch::schema(),
        ),
    ]
}

/// The `sort` parameter of a list of `E`.
struct Sort<E>(PhantomData<E>);

impl<E: Listed> Sort<E> {
    fn names() -> Vec<&'static str> {
        E::SORTS.iter().map(|key| key.name).collect()
    }
}

impl<E: Listed> QueryValue for Sort<E> {
    type Value = Order<E>;

    fn schema() -> MetaSchemaRef {
        sort::schema(&Self::names())
    }

    fn read(value: Option<&str>) -> std::result::Result<Order<E>, Violation> {
        let key = |Sorted { key, is_descending }: Sorted| {
            let direction = if is_descending { Direction::Descending } else { Direction::Ascending };
            E::SORTS.iter().find(|known| known.name == key).map(|key| (key, direction))
        };
        Ok(Order::by(sort::read(value, &Self::names())?.into_iter().filter_map(key)))
    }
}

/// What a list of `E` is asked besides its own filters: in which order, of which times, which page, and whether to count.
#[derive(Debug)]
pub struct Listing<E: Listed> {
    order: Order<E>,
    created_from: Option<DateTime<Utc>>,
    created_to: Option<DateTime<Utc>>,
    updated_since: Option<DateTime<Utc>>,
    page: PageNumber,
    page_size: PageSize,
    after: After,
    has_total: bool,
}

impl<E: Listed> Listing<E> {
    fn of(request: &Request, sort: &str) -> Result<Self> {
        let instant = |name| Query::<InstantFilter>::of(request, name).map(|instant| instant.0);
        Ok(Self {
            order: Query::<Sort<E>>::of(request, sort)?.0,
            created_from: instant("createdFrom")?,
            created_to: instant("createdTo")?,
            updated_since: instant("updatedSince")?,
            page: Query::<PageNumber>::of(request, "page")?.0,
            page_size: Query::<PageSize>::of(request, "pageSize")?.0,
            after: After::of(request, "after")?.sorted(),
            has_total: Query::<OnSwitch>::of(request, TOTAL)?.0,
        })
    }

    /// The page that is asked for, of this tenant's list.
    ///
    /// # Errors
    /// As for [`After::page`].
    pub fn page(&self, cipher: &PiiCipher, tenant: &Tenant) -> Result<Page> {
        self.after.page(cipher, tenant, self.page, self.page_size)
    }

    /// What is asked of the database, of this slice of the list: rows that meet the criteria by which their number is kept, which
    /// `total` tells, and `filters`, by which it is counted. `updated` is the column with the time of the last change.
    #[must_use]
    pub fn query(
        &self,
        (kept, total): (Vec<Criterion<E>>, Total),
        filters: Vec<Criterion<E>>,
        updated: E::Column,
        slice: Slice,
    ) -> ListQuery<E> {
        let bound = |instant: Option<DateTime<Utc>>| instant.map_or(Bound::Unbounded, Bound::Included);
        let to = self.created_to.map_or(Bound::Unbounded, Bound::Excluded);
        let created = Criterion::within(E::CREATED, bound(self.created_from), to);
        let updated = Criterion::within(updated, bound(self.updated_since), Bound::Unbounded);
        let filters: Vec<_> = filters.into_iter().chain(created).chain(updated).collect();
        let total = total.of_list(self.has_total, !filters.is_empty());
        let criteria = kept.into_iter().chain(filters).collect();
        ListQuery { criteria, order: self.order.clone(), slice, total }
    }
}

query_parameter!(Listing<E> where E: Listed, required: false, schema: Sort::<E>::schema());
