//! Wakes tasks that wait for events, so that they need not poll.

use std::time::Duration;

use tokio::sync::watch;

/// Wakes tasks that wait for events.
pub struct EventSignal {
    /// Counts commits.
    committed: watch::Sender<u64>,
    /// The last position, and whether the service is stopping.
    positions: watch::Sender<Positions>,
}

/// What waiting tasks watch.
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
    /// Signals that a change was committed.
    pub(crate) fn committed(&self) {
        self.committed.send_modify(|count| *count += 1);
    }

    /// Ends all waits, because the service is stopping.
    pub fn stop_waiting(&self) {
        self.positions.send_modify(|positions| positions.stopping = true);
    }

    /// A receiver that changes with every commit.
    #[must_use]
    pub fn subscribe_commits(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// A receiver that changes with every new position.
    #[must_use]
    pub fn subscribe_positions(&self) -> watch::Receiver<Positions> {
        self.positions.subscribe()
    }

    /// Records the last assigned position, whichever process assigned it.
    pub(super) fn reached(&self, head: i64) {
        self.positions.send_if_modified(|positions| std::mem::replace(&mut positions.head, head) != head);
    }

    /// Watches for new positions. To be called before querying for events, so that none is missed in between.
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
    /// Waits until any process assigns positions, or for `limit`. Returns `false` if waiting is pointless, because
    /// `limit` is zero or the service is stopping.
    pub async fn next(&mut self, limit: Duration) -> bool {
        if self.0.borrow().stopping || limit.is_zero() {
            return false;
        }
        let _changed_or_in_vain = tokio::time::timeout(limit, self.0.changed()).await;
        !self.0.borrow().stopping
    }
}
