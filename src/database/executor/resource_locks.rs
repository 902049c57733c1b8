//! Locks by resource: of several changes of one row, only one takes a connection to wait for the row's lock in the database.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

type Lock = Arc<tokio::sync::Mutex<()>>;
type Locks = Arc<Mutex<HashMap<Uuid, Lock>>>;

/// The locks of the resources that are being changed in this process.
#[derive(Default)]
pub(super) struct ResourceLocks(Locks);

/// The lock of a resource, held until it is dropped.
pub(super) struct ResourceLock {
    resource: Uuid,
    locks: Locks,
    guard: Option<OwnedMutexGuard<()>>,
}

impl ResourceLocks {
    /// Waits for the lock of a resource, first come, first served.
    pub(super) async fn lock(&self, resource: Uuid) -> ResourceLock {
        // Made before waiting: whoever stops waiting leaves no entry behind either.
        let mut held = ResourceLock { resource, locks: Arc::clone(&self.0), guard: None };
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(resource).or_default())
        };
        held.guard = Some(lock.lock_owned().await);
        held
    }
}

impl Drop for ResourceLock {
    fn drop(&mut self) {
        self.guard = None;
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.get(&self.resource).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.resource);
        }
    }
}
