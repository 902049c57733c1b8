//! The cache: [`ReadCache`].

use std::{
    any::Any,
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quick_cache::unsync::Cache;
use uuid::Uuid;

use super::{
    changed::Changed,
    kept::{ByBytes, CAPACITY, Kept, PAGES, PageKey, RowKey, bytes},
};
use crate::{
    database::{
        file::{DatabaseFile, WalHeader},
        party::Party,
        tenancy::Listed,
    },
    telemetry::database_metrics::DatabaseMetrics,
    values::Tenant,
};

/// About how many rows there are in [`CAPACITY`].
const ROWS: usize = 16_384;

/// Rows that were read by their ids, and pages of lists.
pub struct ReadCache {
    pub(super) file: Arc<DatabaseFile>,
    state: Mutex<State>,
    metrics: DatabaseMetrics,
}

pub(super) struct State {
    pub(super) rows: Cache<RowKey, Kept, ByBytes>,
    pages: Cache<PageKey, Kept, ByBytes>,
    /// The tables that these are of.
    pub(super) tables: HashSet<&'static str>,
    /// As of which commit all is.
    pub(super) as_of: Option<WalHeader>,
    /// Whether the writer of this process is in a transaction.
    pub(super) writing: bool,
}

/// What came of looking for something.
pub(in crate::database) enum Looked<T> {
    Kept(T),
    /// It has to be read; what is read may be kept if nothing was committed since then.
    Missing(Option<WalHeader>),
}

impl ReadCache {
    pub(in crate::database) fn new(file: Arc<DatabaseFile>, metrics: DatabaseMetrics) -> Self {
        let rows = Cache::with_weighter(ROWS, CAPACITY, ByBytes);
        let pages = Cache::with_weighter(PAGES as usize, CAPACITY, ByBytes);
        let state = State { rows, pages, tables: HashSet::new(), as_of: None, writing: false };
        Self { file, state: Mutex::new(state), metrics }
    }

    /// Looks for the tenant's row of `E` with this id.
    pub(in crate::database) fn look<E: Listed>(&self, tenant: &Tenant, id: Uuid) -> Looked<E::Model> {
        let looked = self.look_in(|state| state.rows.get(&(tenant.clone(), id)));
        self.metrics.row_looked_for(matches!(looked, Looked::Kept(_)));
        looked
    }

    /// Keeps a row that was read after it was looked for.
    pub(in crate::database) fn keep<E: Listed>(
        &self,
        as_of: Option<WalHeader>,
        tenant: &Tenant,
        id: Uuid,
        row: &E::Model,
    ) {
        let Some(mut state) = self.state_as_of(as_of) else { return };
        state.tables.insert(E::default().table_name());
        state.rows.insert((tenant.clone(), id), Kept::row::<E>(row));
    }

    /// Looks for a page of a list.
    pub(in crate::database) fn look_for_page<P: Any + Clone>(&self, key: &PageKey) -> Looked<P> {
        let looked = self.look_in(|state| state.pages.get(key));
        self.metrics.page_looked_for(matches!(looked, Looked::Kept(_)));
        looked
    }

    /// Keeps a page, with these rows of `E`, that was read after it was looked for.
    pub(in crate::database) fn keep_page<E: Listed>(
        &self,
        as_of: Option<WalHeader>,
        key: PageKey,
        page: &(impl Any + Clone + Send + Sync),
        rows: &[E::Model],
    ) {
        let Some(mut state) = self.state_as_of(as_of) else { return };
        state.tables.insert(E::default().table_name());
        // The reply that shows it is about as long.
        state.pages.insert(key, Kept::new(page.clone(), 2 * rows.iter().map(bytes::<E>).sum::<u64>()));
    }

    fn look_in<T: Any + Clone>(&self, get: impl FnOnce(&State) -> Option<&Kept>) -> Looked<T> {
        let mut state = self.state();
        let now = self.file.wal_header();
        if now.is_none() || now != state.as_of {
            // What this process is just committing is known when that is done.
            if now.is_none() || state.writing {
                return Looked::Missing(None);
            }
            state.forget(now);
        }
        let kept = get(&state).map(|kept| Arc::clone(&kept.read));
        drop(state);
        match kept.as_ref().and_then(|read| read.downcast_ref::<T>()) {
            Some(read) => Looked::Kept(read.clone()),
            None => Looked::Missing(now),
        }
    }

    /// What is kept, if it is still as of this commit.
    fn state_as_of(&self, as_of: Option<WalHeader>) -> Option<MutexGuard<'_, State>> {
        let state = self.state();
        (as_of.is_some() && state.as_of == as_of).then_some(state)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets all; what is kept from now on is as of this commit.
    pub(super) fn forget(&mut self, as_of: Option<WalHeader>) {
        self.rows.clear();
        self.pages.clear();
        self.as_of = as_of;
    }

    /// Forgets what was changed, and keeps the rows that were written whole.
    pub(super) fn forget_changed(&mut self, all: Vec<(Party, Changed)>) {
        let mut writers = HashSet::new();
        for (party, changed) in all {
            if changed.changes_lists() {
                writers.insert(party);
            }
            for row in &changed.rows {
                self.rows.remove(row);
            }
            for tenant in &changed.tenants {
                self.rows.retain(|(of, _), _| of != tenant);
            }
            for (key, row) in changed.written_whole {
                self.rows.insert(key, row);
            }
        }
        if writers.contains(&Party::Service) {
            self.pages.clear();
        } else if !writers.is_empty() {
            self.pages.retain(|page, _| !writers.contains(&Party::from(&page.tenant)));
        }
    }
}
