//! Waiting with an end, that says after a while what it waits for.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// After how long, and how often from then on, it is said what is waited for.
const TELL: Duration = Duration::from_secs(5);

/// A wait for what is tried again and again.
pub(super) struct Wait {
    began: Instant,
    most: Duration,
    tell: Duration,
}

impl Wait {
    pub(super) fn at_most(most: Duration) -> Self {
        Self { began: Instant::now(), most, tell: TELL }
    }

    /// How much of the time is left.
    pub(super) fn left(&self) -> Duration {
        self.most.saturating_sub(self.began.elapsed())
    }

    /// Pauses before the next try; `false` where there is no time for one. Calls `tell` with the seconds so far when it
    /// is time to.
    pub(super) async fn pause(&mut self, pause: Duration, tell: impl FnOnce(u64)) -> bool {
        if self.left() <= pause {
            return false;
        }
        sleep(pause).await;
        let passed = self.began.elapsed();
        if passed >= self.tell {
            self.tell = passed + TELL;
            tell(passed.as_secs());
        }
        true
    }
}
