//! Whether the database can be read and written, as last seen: what the probes answer from, without asking it.
//!
//! Whoever reads or writes reports here what came of it; the keepers of the connections, [`super::executor`] and
//! [`super::probe`], find out by themselves, each second, how it is with what is suspect, and whether what failed works
//! again. Each change of state is logged once.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// For how long the writer may be busy before writing counts as stuck: a disk that does not answer.
const STUCK: Duration = Duration::from_secs(5);
/// How many changes in a row must fail before all do, as far as is known, although a trial commit succeeds.
const IN_A_ROW: u32 = 3;
/// After how long without a failed change a trial commit is believed again.
const QUIET: Duration = Duration::from_secs(5);

/// Why reading or writing does not work, in a sentence that may be shown to everybody.
pub type Cause = &'static str;

/// What is known of the database.
#[derive(Debug, Default)]
pub struct Health {
    reads: Mutex<Reads>,
    writes: Mutex<Writes>,
}

#[derive(Debug, Default)]
struct Reads {
    failing: Option<Cause>,
    /// Something failed that may or may not concern everybody.
    suspect: bool,
}

#[derive(Debug, Default)]
struct Writes {
    failing: Option<(Cause, FoundBy)>,
    suspect: bool,
    /// How many changes failed since one was committed, and when the last did.
    failed: u32,
    last_failed: Option<Instant>,
    /// Since when a statement of the one writer is not answered.
    busy_since: Option<Instant>,
}

/// Who found that writing fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FoundBy {
    /// A trial commit: the next one that succeeds shows that it is over.
    Trial,
    /// The changes themselves.
    Changes,
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
            _ => state.failing.map_or(Ok(()), |(cause, _)| Err(cause)),
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

    /// Says that a change failed, though not by its own fault. Where it only waited for somebody's lock, that may concern
    /// nobody else.
    pub(super) fn change_failed(&self, waited_for_lock: bool) {
        let mut state = lock(&self.writes);
        state.suspect = true;
        if waited_for_lock {
            return;
        }
        state.failed += 1;
        state.last_failed = Some(Instant::now());
        if state.failed >= IN_A_ROW && state.failing.is_none() {
            state.fail("changes fail", FoundBy::Changes);
        }
    }

    /// Whether it is to be tried how writes are.
    pub(super) fn writes_are_suspect(&self) -> bool {
        let mut state = lock(&self.writes);
        std::mem::take(&mut state.suspect) || state.failing.is_some()
    }

    /// Says that a trial commit failed, or would.
    pub(super) fn writes_fail(&self, cause: Cause) {
        lock(&self.writes).fail(cause, FoundBy::Trial);
    }

    /// Says that a trial commit succeeded.
    pub(super) fn trial_works(&self) {
        let mut state = lock(&self.writes);
        if state.last_failed.is_none_or(|last| last.elapsed() >= QUIET) {
            state.failed = 0;
        }
        // As long as only changes fail, a trial says nothing of them.
        if state.failed < IN_A_ROW || matches!(state.failing, Some((_, FoundBy::Trial))) {
            state.mend();
        }
    }

    /// Says that a change was committed.
    pub(super) fn writes_work(&self) {
        let mut state = lock(&self.writes);
        state.failed = 0;
        state.mend();
    }

    /// Says that the one writer waits for an answer, or no longer does.
    pub(super) fn writer_is_busy(&self, busy: bool) {
        lock(&self.writes).busy_since = busy.then(Instant::now);
    }

    /// Says that the connections are closed, as was asked for.
    pub(super) fn closed(&self) {
        const CAUSE: Cause = "the service stops";
        lock(&self.reads).failing = Some(CAUSE);
        lock(&self.writes).failing = Some((CAUSE, FoundBy::Changes));
    }
}

impl Writes {
    fn fail(&mut self, cause: Cause, found_by: FoundBy) {
        if self.failing.replace((cause, found_by)).is_none() {
            tracing::error!(cause, "writes fail");
        }
    }

    fn mend(&mut self) {
        if self.failing.take().is_some() {
            tracing::info!("writes work again");
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
