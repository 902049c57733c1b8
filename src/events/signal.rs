//! What a process knows of events without asking the database: that there are new ones, and who waits for them.
//!
//! A reader who waits is notified of its tenant's events alone, and compares in memory: it asks the database only for an event
//! that it wants. A tenant without waiting readers is not known here. How many may wait is bounded, in all and for a tenant.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::damage::DamageLog;
use crate::error::{Error, Result};

/// How many types of events are distinguished for a tenant.
const TYPES: usize = 100;

/// How many readers may wait at once.
#[derive(Debug, Clone, Copy)]
pub struct WaiterLimits {
    /// In all.
    pub total: usize,
    /// Of one tenant.
    pub per_tenant: usize,
}

/// Wakes tasks that wait for events.
pub struct EventSignal {
    limits: WaiterLimits,
    /// Counts commits.
    committed: watch::Sender<u64>,
    /// The last position of the outbox.
    positions: watch::Sender<Positions>,
    /// The readers who wait, by tenant.
    waiting: Arc<Waiting>,
    /// Up to which position of the outbox waiting readers were notified; none before the first time.
    notified: Mutex<Option<i64>>,
    stopping: CancellationToken,
    /// Which damaged events the log has.
    pub(super) damage: DamageLog,
}

type Waiting = Mutex<Readers>;

/// The readers who wait.
#[derive(Debug, Default)]
struct Readers {
    by_tenant: HashMap<String, watch::Sender<Newest>>,
    total: usize,
}

/// What waiting tasks watch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Positions {
    head: i64,
}

/// A tenant's newest events, as far as waiting readers were notified of any.
#[derive(Debug, Default)]
struct Newest {
    /// The newest position of each type.
    by_type: HashMap<String, i64>,
    /// The newest position of an event whose type is not known here.
    of_any_type: i64,
}

/// A position that a tenant's feed reached, and with an event of which type, where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FeedUpdate {
    pub tenant: String,
    pub event_type: Option<String>,
    pub position: i64,
}

impl EventSignal {
    /// A signal for so many readers.
    #[must_use]
    pub fn new(limits: WaiterLimits) -> Self {
        Self {
            limits,
            committed: watch::Sender::new(0),
            positions: watch::Sender::new(Positions::default()),
            waiting: Arc::default(),
            notified: Mutex::default(),
            stopping: CancellationToken::new(),
            damage: DamageLog::default(),
        }
    }

    /// Signals that a change was committed.
    pub(crate) fn committed(&self) {
        self.committed.send_modify(|count| *count += 1);
    }

    /// Ends all waits, because the service is stopping.
    pub fn stop_waiting(&self) {
        self.stopping.cancel();
    }

    /// A receiver that changes with every commit.
    #[must_use]
    pub fn subscribe_commits(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// A receiver that changes with every new position of the outbox.
    #[must_use]
    pub fn subscribe_positions(&self) -> watch::Receiver<Positions> {
        self.positions.subscribe()
    }

    /// Records the last assigned position of the outbox, whichever process assigned it.
    pub(super) fn reached(&self, head: i64) {
        self.positions.send_if_modified(|positions| std::mem::replace(&mut positions.head, head) != head);
    }

    /// How many readers wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        locked(&self.waiting).total
    }

    /// Watches for new events of a tenant. To be called before querying for events, so that none is missed in between.
    ///
    /// # Errors
    /// Too many, if as many readers wait as may.
    pub fn watch(&self, tenant: &str) -> Result<Watch> {
        let mut waiting = locked(&self.waiting);
        if waiting.total >= self.limits.total {
            return Err(Error::too_many("too many readers wait for events"));
        }
        let own = waiting.by_tenant.get(tenant).map_or(0, watch::Sender::receiver_count);
        if own >= self.limits.per_tenant {
            return Err(Error::too_many(format!(
                "at most {} readers of a tenant may wait for events",
                self.limits.per_tenant
            )));
        }
        waiting.total += 1;
        let newest = waiting.by_tenant.entry(tenant.to_owned()).or_default().subscribe();
        let (waiting, stopping) = (Arc::clone(&self.waiting), self.stopping.clone());
        Ok(Watch { tenant: tenant.to_owned(), newest: Some(newest), waiting, stopping })
    }

    /// The tenants whose readers wait.
    #[must_use]
    pub fn waiting_tenants(&self) -> Vec<String> {
        locked(&self.waiting).by_tenant.keys().cloned().collect()
    }

    /// Up to which position of the outbox waiting readers were notified.
    pub(super) fn notified(&self) -> Option<i64> {
        *locked(&self.notified)
    }

    /// Notifies waiting readers of the events up to this position of the outbox.
    pub(super) fn notify(&self, updates: Vec<FeedUpdate>, up_to: i64) {
        let waiting = locked(&self.waiting);
        for FeedUpdate { tenant, event_type, position } in updates {
            if let Some(newest) = waiting.by_tenant.get(&tenant) {
                newest.send_modify(|newest| newest.add(event_type, position));
            }
        }
        *locked(&self.notified) = Some(up_to);
    }
}

impl Newest {
    fn add(&mut self, event_type: Option<String>, position: i64) {
        let newest = match event_type {
            Some(known) if self.by_type.len() < TYPES || self.by_type.contains_key(&known) => {
                self.by_type.entry(known).or_default()
            }
            _ => &mut self.of_any_type,
        };
        *newest = position.max(*newest);
    }

    /// Whether there may be an event of these types, or of any, behind a position.
    fn is_behind(&self, position: i64, types: Option<&[String]>) -> bool {
        let newer = |newest: &i64| *newest > position;
        let wanted = match types {
            None => self.by_type.values().any(newer),
            Some(types) => types.iter().filter_map(|one| self.by_type.get(one)).any(newer),
        };
        wanted || newer(&self.of_any_type)
    }
}

/// Waits for new events of a tenant. The last one of a tenant that is dropped makes it forgotten.
pub struct Watch {
    tenant: String,
    newest: Option<watch::Receiver<Newest>>,
    waiting: Arc<Waiting>,
    stopping: CancellationToken,
}

impl Watch {
    /// Waits until any process put an event of these types, or of any, behind `position` of the tenant's feed. Returns
    /// `false` where none came within `limit`, or the service is stopping.
    pub async fn comes(&mut self, position: i64, types: Option<&[String]>, limit: Duration) -> bool {
        let Some(newest) = &mut self.newest else { return false };
        let coming = timeout(limit, newest.wait_for(|newest| newest.is_behind(position, types)));
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => false,
            came = coming => matches!(came, Ok(Ok(_))),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut waiting = locked(&self.waiting);
        self.newest = None;
        waiting.total -= 1;
        if waiting.by_tenant.get(&self.tenant).is_some_and(|newest| newest.receiver_count() == 0) {
            waiting.by_tenant.remove(&self.tenant);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
