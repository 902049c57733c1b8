//! Whether the database can be read and written, as last seen: what the probes answer from, without asking it.
//!
//! Whoever reads or writes reports here what came of it; the keepers of the connections find out by themselves, each
//! second, whether what failed works again . Each change of state is logged once.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// For how long the writer may be busy with one statement before writing counts as stuck: a disk that does not answer.
const STUCK: Duration = Duration::from_secs(5);

/// Why reading or writing does not work, in a sentence that may be shown to everybody.
pub type Cause = &'static str;

/// What is known of the database.
#[derive(Debug, Default)]
pub struct Health {
    reads: Mutex<State>,
    writes: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failing: Option<Cause>,
    /// Something failed that may or may not concern everybody.
    suspect: bool,
    /// Since when a statement is not answered.
    busy_since: Option<Instant>,
}

impl Health {
    /// Whether rows can be read.
    ///
    /// # Errors
    /// Why not.
    pub fn reads(&self) -> Result<(), Cause> {
        lock(&self.reads).failing.map_or(Ok(()), Err)
    }

    /// Whether changes can be committed.
    ///
    /// # Errors
    /// Why not.
    pub fn writes(&self) -> Result<(), Cause> {
        let state = lock(&self.writes);
        match state.busy_since {
            Some(since) if since.elapsed() > STUCK => Err("a write is not answered"),
            _ => state.failing.map_or(Ok(()), Err),
        }
    }

    /// Says that a read failed: whether others do is to be looked at.
    pub(super) fn suspect_reads(&self) {
        lock(&self.reads).suspect = true;
    }

    /// Whether it is to be looked at how reads are.
    pub(super) fn reads_are_suspect(&self) -> bool {
        let mut state = lock(&self.reads);
        std::mem::take(&mut state.suspect) || state.failing.is_some()
    }

    pub(super) fn reads_fail(&self, cause: Cause) {
        if lock(&self.reads).failing.replace(cause).is_none() {
            tracing::error!(cause, "reads fail");
        }
    }

    pub(super) fn reads_work(&self) {
        if lock(&self.reads).failing.take().is_some() {
            tracing::info!("reads work again");
        }
    }

    pub(super) fn writes_fail(&self, cause: Cause) {
        if lock(&self.writes).failing.replace(cause).is_none() {
            tracing::error!(cause, "writes fail");
        }
    }

    pub(super) fn writes_work(&self) {
        if lock(&self.writes).failing.take().is_some() {
            tracing::info!("writes work again");
        }
    }

    /// Says that the connections are closed, as was asked for.
    pub(super) fn closed(&self) {
        for state in [&self.reads, &self.writes] {
            lock(state).failing = Some("the service stops");
        }
    }

    /// Says that the one writer waits for an answer, or no longer does.
    pub(super) fn writer_is_busy(&self, busy: bool) {
        lock(&self.writes).busy_since = busy.then(Instant::now);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
