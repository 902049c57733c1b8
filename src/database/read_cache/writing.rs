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

    /// The tenant's row of `E` with this id, if it is in memory and was not [changed](Self::may_change) in this transaction.
    pub(in crate::database) fn row<E: Listed>(&self, tenant: &Tenant, id: Uuid) -> Option<E::Model> {
        let state = self.cache.state();
        state.as_of?;
        let kept = state.rows.get(&(tenant.clone(), id)).map(|kept| Arc::clone(&kept.read));
        drop(state);
        kept?.downcast_ref::<E::Model>().cloned()
    }

    /// Whether the tenant's row of `E` with this id may have been changed in this transaction: by those units of work that are noted, or by
    /// one that has changed this by now.
    pub(in crate::database) fn may_change<E: Listed>(&self, tenant: &Tenant, id: Uuid, own: &Changed) -> bool {
        let (row, table) = ((tenant.clone(), id), E::default().table_name());
        let changed = self.changed();
        let Some(noted) = changed.as_ref() else { return true };
        let state = self.cache.state();
        let may_change = |changed: &Changed| changed.may_change(&row, &state.tables) || changed.writes_to(table);
        noted.iter().map(|(_, changed)| changed).chain([own]).any(may_change)
    }

    /// Notes what a unit of work has changed: the number of the note.
    pub(in crate::database) fn note(&self, party: &Party, unit: Changed) -> usize {
        let mut changed = self.changed();
        let noted = changed.get_or_insert_default();
        noted.push((party.clone(), unit));
        noted.len() - 1
    }

    /// The unit of work of this note has changed nothing after all.
    pub(in crate::database) fn take_back(&self, note: usize) {
        if let Some((_, changed)) = self.changed().as_mut().and_then(|noted| noted.get_mut(note)) {
            *changed = Changed::default();
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
