//! Whose turn it is with a resource: of several changes of one row, only one takes a connection to wait for the row's lock.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

type Queue = Arc<tokio::sync::Mutex<()>>;

/// The queues of the resources that are being changed in this process.
#[derive(Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<Uuid, Queue>>>);

/// The turn with a resource, until it is dropped.
pub(super) struct Turn {
    resource: Uuid,
    queues: Arc<Mutex<HashMap<Uuid, Queue>>>,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for the turn with a resource, first come, first served.
    pub(super) async fn wait(&self, resource: Uuid) -> Turn {
        // Made before waiting: whoever waits in vain leaves no queue behind either.
        let mut turn = Turn { resource, queues: Arc::clone(&self.0), held: None };
        let queue = {
            let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(queues.entry(resource).or_default())
        };
        turn.held = Some(queue.lock_owned().await);
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.held = None;
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if queues.get(&self.resource).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(&self.resource);
        }
    }
}
