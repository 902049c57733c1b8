//! What wakes those who wait for events, so that they need not poll.

use std::time::Duration;

use tokio::sync::watch;

/// Wakes those who wait for events.
pub struct EventSignal {
    /// Counts the commits that had events.
    committed: watch::Sender<u64>,
    /// The last position, and whether the service stops.
    positions: watch::Sender<Positions>,
}

/// What those who wait for events look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Positions {
    head: i64,
    stopping: bool,
}

impl Default for EventSignal {
    fn default() -> Self {
        Self { committed: watch::Sender::new(0), positions: watch::Sender::new(Positions::default()) }
    }
}

impl EventSignal {
    /// Says that a change with events was committed.
    pub(crate) fn committed(&self) {
        self.committed.send_modify(|count| *count += 1);
    }

    /// Ends all waiting: the service stops.
    pub fn stop_waiting(&self) {
        self.positions.send_modify(|positions| positions.stopping = true);
    }

    /// Changes with every commit that has events.
    #[must_use]
    pub fn subscribe_commits(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// Changes with every new position.
    #[must_use]
    pub fn subscribe_positions(&self) -> watch::Receiver<Positions> {
        self.positions.subscribe()
    }

    /// Says up to where positions are assigned, by whichever process.
    pub(super) fn reached(&self, head: i64) {
        self.positions.send_if_modified(|positions| std::mem::replace(&mut positions.head, head) != head);
    }

    /// What is to be waited on for new positions. Taken before looking for events, so that none is missed in between.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let mut positions = self.positions.subscribe();
        positions.mark_unchanged();
        Watch(positions)
    }
}

/// Waits for new positions.
pub struct Watch(watch::Receiver<Positions>);

impl Watch {
    /// Waits until positions were assigned, also by another process, or for `limit`; false where there is no use in
    /// waiting.
    pub async fn next(&mut self, limit: Duration) -> bool {
        if self.0.borrow().stopping || limit.is_zero() {
            return false;
        }
        let _changed_or_in_vain = tokio::time::timeout(limit, self.0.changed()).await;
        !self.0.borrow().stopping
    }
}
