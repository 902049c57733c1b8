//! Which damaged events the log has: each is reported once, however often it is read.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// How many damaged events are logged, so that neither it nor this grows without bound.
const LOGGED: usize = 10_000;

/// The damaged events that the log has, by their `seq` in the outbox.
#[derive(Debug, Default)]
pub(super) struct DamageLog(Mutex<BTreeSet<i64>>);

impl DamageLog {
    /// Logs that an event is damaged, unless the log has it.
    pub fn report(&self, tenant: &str, seq: i64, what: &str) {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() < LOGGED && logged.insert(seq) {
            tracing::error!(
                tenant_id = tenant,
                seq,
                cause = what,
                "an event is damaged: it is reported to its readers as a gap"
            );
        }
    }
}
