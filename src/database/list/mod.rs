//! Reading a list: filtered, sorted, from page to page, at a cost that does not grow with the tenant.
//!
//! A list is asked with criteria ([`Criterion`]), in an [`Order`], from the beginning, from an offset, or on from the
//! [`Position`] of the last row that was read. No row of another tenant is looked at, and of the tenant's own no more than
//! [`BOUND`] (a page that is reached by its number in an order by several keys: [`ROUNDS`] times as many):
//!
//! - Where an index has the order and all criteria, a page of it is read.
//! - Where few rows meet one of the criteria ([`FEW`]), and an index finds these, they are gathered, judged by the others and
//!   sorted.
//! - Otherwise the index that has the order is walked, and the criteria judged row by row. The page ends where so many rows
//!   have been looked at, and tells where to go on: it may be short, or empty.
//! - Of an order by several keys an index has the first one alone. Where that has few values, each is read in turn; else
//!   the rows are walked in groups of equal first keys, each of which is sorted.
//!
//! | file | what |
//! |---|---|
//! | [`criterion`] | what a list is filtered by, and by which index |
//! | [`order`], [`position`] | in which order, and where in it |
//! | [`query`] | the statements |
//! | [`filling`] | a page that is read in parts |
//! | [`total`] | how many rows there are |
//! | [`page`] | a page, and as it is kept in memory: with the reply that shows it |
//! | [`known`] | what is remembered of that for some seconds, and by what a page is kept in memory |

pub mod criterion;
mod filling;
pub mod known;
pub mod order;
mod page;
pub mod position;
mod query;
pub mod total;

use std::{ops::Bound, sync::OnceLock};

use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::{
    Condition, IdenStatic, ModelTrait, Statement, Value,
    sea_query::{Expr, SelectStatement},
};

pub use self::{
    criterion::Criterion,
    known::ListSource,
    order::{Direction, Order},
    page::{KeptPage, KeptReply, Rows},
    position::Position,
    query::BOUND,
    total::{Count, Total},
};
use self::{
    criterion::Path,
    filling::Filling,
    known::{Known, page_key},
    order::{Key, is_of_an_index, is_same},
    query::{Piece, Scope, Window},
    total::Counted,
};
use super::{read_cache::Looked, template::any_tenant, tenancy::Listed};
use crate::{error::Result, values::Tenant};

/// How many rows are gathered and sorted rather than looked for in the order of the list.
pub const FEW: u64 = 1_000;

/// How often a page that is reached by its number is gone on with where the bound was met.
const ROUNDS: usize = 4;

/// What is asked of a list.
#[derive(Debug, Clone)]
pub struct ListQuery<E: Listed> {
    /// What the rows are to meet.
    pub criteria: Vec<Criterion<E>>,
    /// In which order.
    pub order: Order<E>,
    /// Which of them.
    pub slice: Slice,
    /// Where the total comes from.
    pub total: Total,
}

/// Which rows of a list are read.
#[derive(Debug, Clone)]
pub struct Slice {
    /// How many to skip, at most [`BOUND`].
    pub offset: u64,
    /// How many to read at most.
    pub limit: u64,
    /// Only those behind this place.
    pub after: Option<Position>,
}

impl<E> ListQuery<E>
where
    E: Listed<Model: Send + Sync>,
{
    /// Reads the rows of the page, as [`Self::page`] does.
    ///
    /// # Errors
    /// As for [`Self::page`].
    pub async fn read<C: ListSource>(&self, db: &C, tenant: &Tenant) -> Result<Rows<E::Model>> {
        self.page(db, tenant).await.map(KeptPage::into_rows)
    }

    /// Reads the page, unless it was read before and nothing has changed since.
    ///
    /// # Errors
    /// A fault of the database; internal, for a position of another order.
    pub async fn page<C: ListSource>(&self, db: &C, tenant: &Tenant) -> Result<KeptPage<E::Model>> {
        let Some(pages) = db.pages()?.filter(|_| E::IS_KEPT) else {
            return self.read_stored(db, tenant).await.map(KeptPage::from);
        };
        // The total is the number of rows that meet the criteria, wherever it comes from.
        let asked = (&self.order, &self.slice, matches!(self.total, Total::Unknown));
        let key = page_key(db.get_database_backend(), tenant, &self.criteria, asked);
        match pages.look_for_page(&key) {
            Looked::Kept(page) => Ok(page),
            Looked::Missing(as_of) => {
                let page = KeptPage::from(self.read_stored(db, tenant).await?);
                pages.keep_page::<E>(as_of, key, &page, &page.rows().data);
                Ok(page)
            }
        }
    }

    async fn read_stored<C: ListSource>(&self, db: &C, tenant: &Tenant) -> Result<Rows<E::Model>> {
        let Slice { offset, limit, ref after } = self.slice;
        let backend = db.get_database_backend();
        let keys = self.order.after(after.as_ref())?;
        let list = List::new(db, Scope { backend, tenant, criteria: &self.criteria }, &self.total);
        let wanted = Window { offset, limit: limit + 1, bound: BOUND.max(offset + limit + 1) };
        let piece = match offset == 0 || is_of_an_index(&keys) {
            true => list.page(&keys, wanted).await?,
            false => list.numbered_page(&self.order, keys, wanted).await?,
        };
        let Piece { rows: mut data, cut, beside, .. } = piece;
        let is_full = data.len() as u64 > limit;
        data.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = match is_full {
            true => data.last().map(|row| self.order.position(row)),
            false => cut.map(|cut| self.order.position_with(&cut.row, &cut.held)),
        };
        let seen = data.len() as u64;
        // The last page tells how many there are.
        let told = next.is_none() && after.is_none() && (seen > 0 || offset == 0);
        let total = match (&self.total, beside) {
            (Total::Unknown, _) => None,
            _ if told => Some(Count::exact(offset + seen)),
            (Total::Kept(_), Some(total)) => Some(Count::exact(total.unsigned_abs())),
            (Total::Kept(total), None) => Some(total::kept(db, &list.scope, total).await?),
            (Total::Standing(standing), _) => match standing.count(db, tenant).await? {
                Some(rows) => Some(Count::exact(rows)),
                None => Some(total::counted(db, &list.scope).await?.count),
            },
            (Total::Counted, age) => Some(list.count(age).await?),
        };
        Ok(Rows { data, total, next })
    }
}

/// A list, or the part of it that meets some criteria.
struct List<'l, C, E: Listed> {
    db: &'l C,
    scope: Scope<'l, E>,
    total: &'l Total,
    /// What is remembered of lists, and by what this one is found there.
    known: Option<&'l Known>,
    key: OnceLock<known::Key>,
    is_audited: bool,
    /// What was counted of it before, if that is asked.
    counted: Option<Counted>,
}

impl<'l, C: ListSource, E: Listed<Model: Send + Sync>> List<'l, C, E> {
    fn new(db: &'l C, scope: Scope<'l, E>, total: &'l Total) -> Self {
        let is_audited = scope.criteria.iter().all(|criterion| criterion.is_audited);
        let list = Self { db, scope, total, known: db.known(), key: OnceLock::new(), is_audited, counted: None };
        let is_asked = is_audited && matches!(total, Total::Counted);
        let counted = list.known.filter(|_| is_asked).and_then(|known| known.counted(list.key()));
        Self { counted, ..list }
    }

    fn key(&self) -> &known::Key {
        let Scope { backend, tenant, criteria } = self.scope;
        self.key.get_or_init(|| known::Key::new(backend, tenant, criteria))
    }

    /// The rows that come first in this order.
    fn page<'p>(&'p self, keys: &'p [Key<E>], wanted: Window) -> BoxFuture<'p, Result<Piece<E::Model>>> {
        async move {
            // What has one value sorts nothing.
            let has_one_value = |column| self.equal().any(|(equal, _)| is_same(equal, column));
            let keys: Vec<Key<E>> = keys.iter().filter(|key| !has_one_value(key.column)).cloned().collect();
            let (driving, is_all) = self.driving(&keys);
            if !is_all && let Some(ids) = self.few().await? {
                return self.scope.gather(self.db, ids, &keys, wanted).await;
            }
            match keys.as_slice() {
                keys if is_of_an_index(keys) => {
                    if is_all {
                        let (plain, has_beside) = self.plain(&driving, keys, wanted);
                        let plain = self.scope.read_plain(self.db, plain, has_beside).await?;
                        if !plain.rows.is_empty() {
                            return Ok(plain);
                        }
                    }
                    let beside = self.beside(is_all);
                    self.scope.walk(self.db, driving, keys, wanted, beside.as_ref()).await
                }
                [first, rest @ ..] if !first.values.is_empty() => self.value_by_value(first, rest, wanted).await,
                keys => self.group_by_group(driving, keys, wanted).await,
            }
        }
        .boxed()
    }

    /// What is read beside the rows: the total, if all of the criteria are a range of an index, or what tells whether it is still true.
    fn beside(&self, is_all: bool) -> Option<Expr> {
        match self.total {
            Total::Kept(total) if is_all => Some(total.expression(self.scope.tenant)),
            _ => self.counted.map(|_| total::age(self.scope.tenant)),
        }
    }

    /// The statement for the rows of a range of an index, and whether it has a number beside them. Its text is built once for a page of a
    /// whole list that is reached by its number: such a list has no other total that is kept than that of the tenant.
    fn plain(&self, driving: &Condition, keys: &[Key<E>], wanted: Window) -> (Statement, bool) {
        let tenant = self.scope.tenant;
        let is_whole = self.scope.criteria.is_empty() && self.counted.is_none();
        let total = if let Total::Kept(total) = self.total { Some(total) } else { None };
        if let Some(known) = self.known.filter(|_| is_whole && keys.iter().all(|key| key.after.is_none())) {
            let standing = || {
                let (tenant, window) = (any_tenant()?, Window::any());
                let scope = Scope::<E> { tenant: &tenant, backend: self.scope.backend, criteria: &[] };
                let beside = total.map(|total| total.expression(&tenant));
                let statement = scope.plain(Condition::all(), keys, window, beside.as_ref());
                Some((statement, [tenant.as_str().into(), window.offset.into(), window.limit.into()]))
            };
            let asked = format!("{keys:?} {}", total.is_some());
            let values = [tenant.as_str().into(), wanted.offset.into(), wanted.limit.into()];
            if let Some(statement) = known.templates.filled::<E, 3>(asked, values, standing) {
                return (statement, total.is_some());
            }
        }
        let beside = self.beside(true);
        (self.scope.plain(driving.clone(), keys, wanted, beside.as_ref()), beside.is_some())
    }

    /// The rows behind those that are to be skipped, in an order by several keys: how many of them each part of it has is not
    /// known, and one that met the bound is gone on with for some rounds.
    async fn numbered_page(&self, order: &Order<E>, mut keys: Vec<Key<E>>, wanted: Window) -> Result<Piece<E::Model>> {
        let mut filling = Filling::new(wanted, 1);
        for _ in 0..ROUNDS {
            let part = self.page(&keys, filling.window()).await?;
            let next = part.cut.as_ref().map(|cut| order.position_with(&cut.row, &cut.held));
            filling.add(part);
            let (Some(next), true) = (next, filling.window().limit > 0) else { break };
            keys = order.after(Some(&next))?;
        }
        Ok(filling.end())
    }

    /// The columns that the criteria hold to one value, if an index has them.
    fn equal(&self) -> impl Iterator<Item = (E::Column, &Criterion<E>)> {
        self.scope.criteria.iter().filter_map(|criterion| match criterion.path {
            Path::Equal(column) => Some((column, criterion)),
            _ => None,
        })
    }

    /// What of the criteria is a range of the index that has the order, and whether that is all.
    fn driving(&self, keys: &[Key<E>]) -> (Condition, bool) {
        let first = keys.first().map(|key| key.column);
        let is_by_creation = first.is_some_and(|first| is_same(first, E::CREATED)) && is_of_an_index(keys);
        let mut driving = Condition::all();
        let (mut count, mut has_equal) = (0, false);
        for criterion in self.scope.criteria {
            let is_driving = match criterion.path {
                Path::Equal(_) => is_by_creation && !std::mem::replace(&mut has_equal, is_by_creation),
                Path::Column(column) => first.is_some_and(|first| is_same(first, column)),
                Path::Ids(_) | Path::None => false,
            };
            if is_driving {
                driving = driving.add(criterion.condition.clone());
                count += 1;
            }
        }
        (driving, count == self.scope.criteria.len())
    }

    /// The ids of the rows that meet one of the criteria, if there are few.
    async fn few(&self) -> Result<Option<SelectStatement>> {
        if self.known.is_some_and(|known| known.is_large(self.key())) {
            return Ok(None);
        }
        let found = total::found_by_each(self.db, &self.scope, FEW).await?;
        let smallest = self.scope.criteria.iter().zip(found).filter_map(|(one, found)| Some((one, found?)));
        let smallest = smallest.min_by_key(|(_, found)| *found).filter(|(_, found)| *found <= FEW);
        if let (Some(known), None) = (self.known, &smallest) {
            known.note_large(self.key().clone());
        }
        Ok(smallest.and_then(|(criterion, _)| criterion.ids(self.scope.tenant)))
    }

    /// How many rows the list has: as many as were counted before, if that is still true at the tenant's `age`.
    async fn count(&self, age: Option<i64>) -> Result<Count> {
        if let Some(counted) = self.counted {
            let age = match age {
                None => total::age_now(self.db, &self.scope).await?,
                age => age,
            };
            if let Some(count) = age.and_then(|age| counted.at(age)) {
                return Ok(count);
            }
        }
        let counted = total::counted(self.db, &self.scope).await?;
        if let Some(known) = self.known.filter(|_| self.is_audited) {
            known.note_counted(self.key().clone(), counted);
        }
        Ok(counted.count)
    }

    /// The part of the list whose rows have this value in a column with an index.
    async fn with_value(
        &self,
        column: E::Column,
        value: Value,
        keys: &[Key<E>],
        wanted: Window,
    ) -> Result<Piece<E::Model>> {
        let mut part = self.with(Some(Criterion::equal(column, value.clone())), keys, wanted).await?;
        // The last row that was looked at may have another one.
        if let Some(cut) = &mut part.cut {
            cut.held.push((column.as_str(), value));
        }
        Ok(part)
    }

    /// The part of the list that meets one more criterion.
    async fn with(&self, criterion: Option<Criterion<E>>, keys: &[Key<E>], wanted: Window) -> Result<Piece<E::Model>> {
        let mut criteria = self.scope.criteria.to_vec();
        criteria.extend(criterion);
        let Scope { backend, tenant, .. } = self.scope;
        let part = List::new(self.db, Scope { backend, tenant, criteria: &criteria }, &Total::Unknown);
        part.page(keys, wanted).await
    }

    /// In an order whose first key has few values: those that have the first value, then those that have the second one.
    async fn value_by_value(&self, first: &Key<E>, rest: &[Key<E>], wanted: Window) -> Result<Piece<E::Model>> {
        let mut values = first.values.to_vec();
        if first.direction == Direction::Descending {
            values.reverse();
        }
        let begin = values.iter().position(|value| first.after.as_ref() == Some(&Value::from(*value)));
        let values = values.get(begin.unwrap_or_default()..).unwrap_or_default();
        let mut filling = Filling::new(wanted, first.values.len() as u64);
        for (index, value) in values.iter().enumerate() {
            let is_begun = index == 0 && begin.is_some();
            let rest: Vec<Key<E>> = if is_begun { rest.to_vec() } else { from_the_beginning(rest) };
            let part = self.with_value(first.column, (*value).into(), &rest, filling.window()).await?;
            if filling.add(part) {
                break;
            }
        }
        Ok(filling.end())
    }

    /// In an order of which an index has only the first key, which has many values.
    async fn group_by_group(&self, driving: Condition, keys: &[Key<E>], wanted: Window) -> Result<Piece<E::Model>> {
        let Some((first, rest)) = keys.split_first() else { return Ok(Piece::default()) };
        let piece = self.scope.walk_groups(self.db, driving, keys, wanted).await?;
        let (Some(large), None, true) = (&piece.large, &piece.cut, piece.rows.is_empty()) else { return Ok(piece) };
        // A group that is too large to be sorted is a list of its own, whose order has one key less.
        let value = large.get(first.column);
        let is_begun = first.after.as_ref() == Some(&value);
        let inner: Vec<Key<E>> = if is_begun { rest.to_vec() } else { from_the_beginning(rest) };
        let mut filling = Filling::new(wanted, 1);
        if filling.add(self.with_value(first.column, value.clone(), &inner, filling.window()).await?) {
            return Ok(filling.end());
        }
        let rest = match first.direction {
            Direction::Ascending => Criterion::within(first.column, Bound::Excluded(value), Bound::Unbounded),
            Direction::Descending => Criterion::within(first.column, Bound::Unbounded, Bound::Excluded(value)),
        };
        filling.add(self.with(rest, &from_the_beginning(keys), filling.window()).await?);
        Ok(filling.end())
    }
}

/// The keys without the place where reading goes on.
fn from_the_beginning<E: Listed>(keys: &[Key<E>]) -> Vec<Key<E>> {
    keys.iter().map(|key| Key { after: None, ..key.clone() }).collect()
}
