//! What is remembered of lists that were asked before, so that whoever asks again for some seconds does not have rows counted
//! again. Nothing is answered that is not true of the database at that moment:
//!
//! - A tenant's [`age`](super::total::age) is how many entries its trail has ever got and lost; it is read in the statement that
//!   reads the page. What changes which rows meet [audited](Criterion::is_audited) criteria leaves an entry in its transaction. So
//!   at the same age, the list has as many rows as were counted, and an exact number is still exact.
//! - An entry is of one row. So of far more rows than are counted, still more are left after as many entries as these were more.
//! - What hides more rows than one is a deletion, until they are removed: while one is under way, there is no age.
//!
//! Of the tenants that leave ([`crate::privacy`]), rows go without entries: what is remembered is so for [`KEPT`] alone.
//! A standby's snapshots are not those of the primary: what is read there is neither remembered nor answered from here.

use std::{fmt::Debug, time::Duration};

use quick_cache::sync::Cache;
use sea_orm::{
    Condition, ConnectionTrait, DbBackend,
    sea_query::{Alias, Expr, Query, SelectStatement},
};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{criterion::Criterion, total::Counted};
use crate::{
    database::{
        read_cache::{PageKey, ReadCache},
        template::Templates,
        tenancy::Listed,
    },
    error::Result,
    values::Tenant,
};

/// For how long anything is remembered.
const KEPT: Duration = Duration::from_secs(5);
/// Of how many lists.
const LISTS: usize = 4096;

/// What lists are read from.
pub trait ListSource: ConnectionTrait {
    /// What is remembered of lists that were read from here; none where that could be of another state.
    fn known(&self) -> Option<&Known>;

    /// Where pages are kept, if they are.
    ///
    /// # Errors
    /// Unavailable, where nothing may be read.
    fn pages(&self) -> Result<Option<&ReadCache>>;
}

/// The rows of a tenant that meet some criteria.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    tenant: Tenant,
    /// The hash of the criteria: what they are of may be personal data.
    criteria: [u8; 32],
}

impl Key {
    pub fn new<E: Listed>(backend: DbBackend, tenant: &Tenant, criteria: &[Criterion<E>]) -> Self {
        Self { tenant: tenant.clone(), criteria: hashed(backend, &selected(criteria)).finalize().into() }
    }
}

/// By what a page of a tenant's list is kept: which rows the list has, and what is asked of it.
pub(super) fn page_key<E: Listed>(
    backend: DbBackend,
    tenant: &Tenant,
    criteria: &[Criterion<E>],
    asked: impl Debug,
) -> PageKey {
    let mut hash = match criteria {
        [] => Sha256::new_with_prefix(E::default().table_name()),
        criteria => hashed(backend, &selected(criteria)),
    };
    hash.update(format!("{asked:?}"));
    PageKey::new(tenant, hash.finalize().into())
}

/// A query that says which rows meet the criteria.
fn selected<E: Listed>(criteria: &[Criterion<E>]) -> SelectStatement {
    let all = criteria.iter().fold(Condition::all(), |all, criterion| all.add(criterion.condition.clone()));
    Query::select().expr(Expr::val(1_i32)).from(Alias::new(E::default().table_name())).cond_where(all).take()
}

fn hashed(backend: DbBackend, rows: &SelectStatement) -> Sha256 {
    let rows = backend.build(rows);
    let mut hash = Sha256::new_with_prefix(rows.sql.len().to_be_bytes());
    hash.update(rows.sql);
    hash.update(format!("{:?}", rows.values));
    hash
}

/// What is remembered of the lists of all tenants.
pub struct Known {
    counted: Cache<Key, (Counted, Instant)>,
    /// Of which more rows are found by each criterion than are gathered: that is looked for again after a while, because it says
    /// only which way is the shorter one.
    large: Cache<Key, Instant>,
    /// The statements that read pages of whole lists.
    pub(super) templates: Templates,
}

impl Default for Known {
    fn default() -> Self {
        Self { counted: Cache::new(LISTS), large: Cache::new(LISTS), templates: Templates::default() }
    }
}

impl Known {
    /// What was counted of this list.
    pub(super) fn counted(&self, list: &Key) -> Option<Counted> {
        self.counted.get(list).filter(|(_, at)| is_recent(*at)).map(|(counted, _)| counted)
    }

    /// Remembers what was counted.
    pub(super) fn note_counted(&self, list: Key, counted: Counted) {
        self.counted.insert(list, (counted, Instant::now()));
    }

    /// Whether so many rows were found by each criterion that none is a way to the list.
    pub(super) fn is_large(&self, list: &Key) -> bool {
        self.large.get(list).is_some_and(is_recent)
    }

    /// Remembers that.
    pub(super) fn note_large(&self, list: Key) {
        self.large.insert(list, Instant::now());
    }
}

fn is_recent(at: Instant) -> bool {
    at.elapsed() < KEPT
}
