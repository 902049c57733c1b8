//! Whose turn it is to ask the platform: so many ask at once, so many wait, and the others are told at once that there are too
//! many. Anybody may send tokens that nobody knows; those who ask about them leave turns to those who ask about known ones.

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

/// How many questions are asked at once.
pub(super) const AT_ONCE: usize = 32;
/// How many of them may be about something that is not known.
const OF_STRANGERS: usize = 24;
/// How many wait for their turn, of either kind.
const WAITING: usize = 256;

/// About what the platform is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Its own keys, or a token that it knew.
    Known,
    /// A token that anybody may have made up.
    Unknown,
}

/// The turns at one endpoint.
pub(super) struct Turns {
    all: Lane,
    of_strangers: Lane,
}

/// It is somebody's turn until this is dropped.
pub(super) struct Turn<'t> {
    _one: SemaphorePermit<'t>,
    _of_strangers: Option<SemaphorePermit<'t>>,
}

/// The turns of some, and those who wait for one.
struct Lane {
    turns: Semaphore,
    waiting: Semaphore,
}

impl Default for Turns {
    fn default() -> Self {
        Self { all: Lane::new(AT_ONCE), of_strangers: Lane::new(OF_STRANGERS) }
    }
}

impl Turns {
    /// Waits for its turn; none if too many wait, or if it has not come by then.
    pub(super) async fn next(&self, subject: Subject, deadline: Instant) -> Option<Turn<'_>> {
        let of_strangers = match subject {
            Subject::Known => None,
            Subject::Unknown => Some(self.of_strangers.next(deadline).await?),
        };
        Some(Turn { _one: self.all.next(deadline).await?, _of_strangers: of_strangers })
    }
}

impl Lane {
    fn new(turns: usize) -> Self {
        Self { turns: Semaphore::new(turns), waiting: Semaphore::new(WAITING) }
    }

    async fn next(&self, deadline: Instant) -> Option<SemaphorePermit<'_>> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Some(turn);
        }
        let _waits = self.waiting.try_acquire().ok()?;
        timeout_at(deadline, self.turns.acquire()).await.ok()?.ok()
    }
}
