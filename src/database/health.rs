//! Whether the database can be read and written, as last seen: what the probes answer from, without asking it.
//!
//! Reads and writes report their outcome here. Each second the writer of SQLite ([`super::executor`]) and [`super::probe`]
//! check what is suspect, and whether what failed works again. Each change of state is logged once.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long the writer may be busy before writing counts as stuck: a disk that does not answer.
const STUCK: Duration = Duration::from_secs(5);
/// After how many failed changes in a row writing counts as failing, although trial commits succeed.
const FAILED_IN_A_ROW: u32 = 3;
/// After how long without a failed change a trial commit counts again.
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
    /// Something failed, and it is to be checked whether everything does.
    suspect: bool,
}

#[derive(Debug, Default)]
struct Writes {
    failing: Option<(Cause, FoundBy)>,
    suspect: bool,
    /// How many changes failed since one was committed, and when the last did.
    failed: u32,
    last_failed: Option<Instant>,
    /// Since when SQLite's one writer waits for an answer.
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

    /// A read failed: it is to be checked whether others do.
    pub(super) fn suspect_reads(&self) {
        lock(&self.reads).suspect = true;
    }

    /// Whether reads are to be checked.
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

    /// A change failed, though not by its own fault. Waiting for somebody's lock in vain may concern nobody else.
    pub(super) fn change_failed(&self, waited_for_lock: bool) {
        let mut state = lock(&self.writes);
        state.suspect = true;
        if waited_for_lock {
            return;
        }
        state.failed += 1;
        state.last_failed = Some(Instant::now());
        if state.failed >= FAILED_IN_A_ROW && state.failing.is_none() {
            state.fail("changes fail", FoundBy::Changes);
        }
    }

    /// Whether a trial commit is to be made.
    pub(super) fn writes_are_suspect(&self) -> bool {
        let mut state = lock(&self.writes);
        std::mem::take(&mut state.suspect) || state.failing.is_some()
    }

    /// A trial commit failed, or would.
    pub(super) fn writes_fail(&self, cause: Cause) {
        lock(&self.writes).fail(cause, FoundBy::Trial);
    }

    /// A trial commit succeeded.
    pub(super) fn trial_succeeded(&self) {
        let mut state = lock(&self.writes);
        if state.last_failed.is_none_or(|last| last.elapsed() >= QUIET) {
            state.failed = 0;
        }
        // While only changes fail, a trial commit proves nothing about them.
        if state.failed < FAILED_IN_A_ROW || matches!(state.failing, Some((_, FoundBy::Trial))) {
            state.recover();
        }
    }

    /// A change was committed.
    pub(super) fn writes_work(&self) {
        let mut state = lock(&self.writes);
        state.failed = 0;
        state.recover();
    }

    /// SQLite's one writer waits for an answer, or no longer does.
    pub(super) fn writer_is_busy(&self, busy: bool) {
        lock(&self.writes).busy_since = busy.then(Instant::now);
    }

    /// The connections were closed on purpose.
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

    fn recover(&mut self) {
        if self.failing.take().is_some() {
            tracing::info!("writes work again");
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
