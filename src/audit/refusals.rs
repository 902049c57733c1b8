//! What a caller is refused again and again: one entry at once, then one a minute with a count.
//!
//! Otherwise a caller that may do nothing could fill the trail, which nobody may delete. Refusals of one actor by one
//! operation with one status are one line; a tenant has at most [`LINES_OF_A_TENANT`] of them, and what is beyond is counted
//! in one more entry a minute. Memory is bounded, whatever comes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use uuid::Uuid;

use super::{
    entity::AuditAction,
    entry::{AuditEntry, AuditedAction},
    queue::AuditQueue,
};
use crate::{
    auth::Actor,
    resource::Kind,
    telemetry::metrics::RefusalOutcome,
    values::{IdSource, Tenant},
};

/// How long what is refused again is only counted, in milliseconds.
const MINUTE: i64 = 60_000;
/// The most lines of one tenant: as many entries a minute.
const LINES_OF_A_TENANT: usize = 60;
/// The most lines in all, and the most tenants.
const LINES: usize = 8192;

/// A request that was refused.
#[derive(Debug, Clone)]
pub struct Refused {
    /// To whom.
    pub actor: Actor,
    /// Method and route, such as `DELETE /customers/{customer_id}`.
    pub operation: String,
    /// The status of the reply.
    pub status: u16,
    /// Why.
    pub reason: String,
    /// What it was about.
    pub resource: (Option<Kind>, Option<Uuid>),
}

/// The refusals of the last minute.
pub struct Refusals {
    queue: Arc<AuditQueue>,
    ids: Arc<IdSource>,
    tenants: Mutex<Tenants>,
}

#[derive(Default)]
struct Tenants {
    by_name: HashMap<Tenant, OfTenant>,
    lines: usize,
}

#[derive(Default)]
struct OfTenant {
    lines: HashMap<Key, Line>,
    /// What has no line.
    beyond: Option<Line>,
}

/// Whose refusals, by which operation, with which status.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    actor: String,
    operation: String,
    status: u16,
}

/// What was refused since the last entry.
struct Line {
    since: i64,
    count: u64,
    last: Refused,
}

impl Refusals {
    /// Entries go to `queue`.
    #[must_use]
    pub fn new(queue: Arc<AuditQueue>, ids: Arc<IdSource>) -> Self {
        Self { queue, ids, tenants: Mutex::default() }
    }

    /// Records a refusal, or counts it; returns which.
    pub fn record(&self, refused: Refused) -> RefusalOutcome {
        let now = self.ids.now().0.timestamp_millis();
        let outcome = self.tenants().note(&refused, now);
        if outcome == RefusalOutcome::recorded {
            self.queue.record(entry(&self.ids, refused, None));
        }
        outcome
    }

    /// Writes the counts whose minute is over.
    pub fn write_due(&self) {
        let now = self.ids.now().0.timestamp_millis();
        self.write(|line| line.is_due(now), now);
    }

    /// Writes all counts, at shutdown.
    pub fn write_all(&self) {
        self.write(|_| true, self.ids.now().0.timestamp_millis());
    }

    fn write(&self, is_due: impl Fn(&Line) -> bool, now: i64) {
        let counted = self.tenants().take(is_due, now);
        for (refused, count) in counted {
            self.queue.record(entry(&self.ids, refused, Some(count)));
        }
    }

    fn tenants(&self) -> MutexGuard<'_, Tenants> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tenants {
    fn note(&mut self, refused: &Refused, now: i64) -> RefusalOutcome {
        let Refused { actor, operation, status, .. } = refused;
        if self.by_name.len() >= LINES && !self.by_name.contains_key(&actor.tenant) {
            return RefusalOutcome::dropped;
        }
        let tenant = self.by_name.entry(actor.tenant.clone()).or_default();
        let key = Key { actor: actor.name.clone(), operation: operation.clone(), status: *status };
        let full = tenant.lines.len() >= LINES_OF_A_TENANT || self.lines >= LINES;
        match tenant.lines.get_mut(&key) {
            Some(line) => {
                line.count += 1;
                line.last.clone_from(refused);
                RefusalOutcome::collapsed
            }
            None if full => {
                let beyond = tenant.beyond.get_or_insert_with(|| Line { since: now, count: 0, last: refused.clone() });
                beyond.count += 1;
                RefusalOutcome::collapsed
            }
            None => {
                tenant.lines.insert(key, Line { since: now, count: 0, last: refused.clone() });
                self.lines += 1;
                RefusalOutcome::recorded
            }
        }
    }

    /// Takes the counts of the lines that are due. One that counted nothing ends; the others count on.
    fn take(&mut self, is_due: impl Fn(&Line) -> bool, now: i64) -> Vec<(Refused, u64)> {
        let mut counted = Vec::new();
        for (name, tenant) in &mut self.by_name {
            tenant.lines.retain(|_, line| {
                if !is_due(line) {
                    return true;
                }
                let count = std::mem::take(&mut line.count);
                line.since = now;
                if count > 0 {
                    counted.push((line.last.clone(), count));
                }
                count > 0
            });
            if let Some(beyond) = tenant.beyond.take_if(|beyond| is_due(beyond)) {
                counted.push((beyond.of_several(name), beyond.count));
            }
        }
        self.by_name.retain(|_, tenant| !tenant.lines.is_empty() || tenant.beyond.is_some());
        self.lines = self.by_name.values().map(|tenant| tenant.lines.len()).sum();
        counted
    }
}

impl Line {
    /// Whether its minute is over. A clock that was set back ends it too.
    fn is_due(&self, now: i64) -> bool {
        !(self.since..self.since + MINUTE).contains(&now)
    }

    /// The refusal that stands for those of several callers.
    fn of_several(&self, tenant: &Tenant) -> Refused {
        let actor =
            Actor { tenant: tenant.clone(), name: "several".to_owned(), client: None, ..self.last.actor.clone() };
        let operation = "several operations".to_owned();
        let reason = format!("more than {LINES_OF_A_TENANT} callers and operations were refused");
        Refused { actor, operation, status: self.last.status, reason, resource: (None, None) }
    }
}

/// The entry of one refusal, or of so many more.
fn entry(ids: &IdSource, refused: Refused, more: Option<u64>) -> Option<AuditEntry> {
    let Refused { actor, operation, status, reason, resource } = refused;
    let summary = match more {
        None | Some(1) => format!("was refused {operation}: {status} {reason}"),
        Some(more) => format!("was refused {more} times more: {operation}: {status} {reason}"),
    };
    let (kind, id) = resource;
    // Those that are counted were about several resources.
    let id = id.filter(|_| more.is_none_or(|more| more == 1));
    let action = AuditedAction { action: AuditAction::Refuse, kind, id, changes: Vec::new(), summary };
    AuditEntry::new(ids, &actor, action).ok()
}
