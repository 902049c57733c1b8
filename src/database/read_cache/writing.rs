//! A transaction of the one writer, and what is in memory as it sees it: [`Writing`].

use std::{
    mem::take,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

use super::{cache::ReadCache, changed::Changed};
use crate::{
    database::{party::Party, tenancy::Listed},
    values::Tenant,
};

/// A transaction of the writer. Unless it was committed, all is forgotten when it ends.
pub(in crate::database) struct Writing {
    cache: Arc<ReadCache>,
    /// What its units of work changed; none once it has ended.
    changed: Mutex<Option<Vec<(Party, Changed)>>>,
}

impl Writing {
    /// The writer has begun a transaction, and nobody else commits anything until it ends.
    pub(in crate::database) fn begin(cache: &Arc<ReadCache>) -> Arc<Self> {
        let mut state = cache.state();
        let now = cache.file.wal_header();
        if state.as_of != now {
            state.forget(now);
        }
        state.writing = true;
        drop(state);
        Arc::new(Self { cache: Arc::clone(cache), changed: Some(Vec::new()).into() })
    }

    /// The tenant's row of `E` with this id, if it is in memory and was not changed in this transaction: neither by those units of work
    /// that are noted nor by one that has changed this by now.
    pub(in crate::database) fn row<E: Listed>(&self, tenant: &Tenant, id: Uuid, own: &Changed) -> Option<E::Model> {
        let key = (tenant.clone(), id);
        let changed = self.changed();
        let mut all = changed.as_ref()?.iter().map(|(_, changed)| changed).chain([own]);
        let state = self.cache.state();
        if state.as_of.is_none() || all.any(|changed| changed.may_change(&key, &state.tables)) {
            return None;
        }
        let kept = state.rows.get(&key).map(|kept| Arc::clone(&kept.read));
        drop(state);
        kept?.downcast_ref::<E::Model>().cloned()
    }

    /// Notes what a unit of work has changed.
    pub(in crate::database) fn note(&self, party: &Party, unit: Changed) {
        if let Some(changed) = self.changed().as_mut() {
            changed.push((party.clone(), unit));
        }
    }

    /// All that was done is undone.
    pub(in crate::database) fn begin_again(&self) {
        *self.changed() = Some(Vec::new());
    }

    /// It has ended; whether all that is noted is committed.
    pub(in crate::database) fn end(&self, is_committed: bool) {
        let Some(changed) = take(&mut *self.changed()) else { return };
        let mut state = self.cache.state();
        state.writing = false;
        let now = self.cache.file.wal_header();
        let before = state.as_of.take();
        state.tables.extend(changed.iter().flat_map(|(_, changed)| &changed.whole_in));
        let is_own = before.zip(now).is_some_and(|(before, now)| now == before || now.follows(&before));
        if is_committed && is_own && !changed.iter().any(|(_, changed)| changed.is_unknown(&state.tables)) {
            state.as_of = now;
            state.forget_changed(changed);
        } else {
            state.forget(now);
        }
    }

    fn changed(&self) -> MutexGuard<'_, Option<Vec<(Party, Changed)>>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.end(false);
    }
}
