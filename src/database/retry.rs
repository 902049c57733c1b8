//! Retrying for a limited time, with a word to the log every few seconds.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// After how long, and how often from then on, the log says what is waited for.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// How long something is tried again and again.
pub(super) struct Retry {
    began: Instant,
    limit: Duration,
    next_log: Duration,
}

impl Retry {
    pub(super) fn for_at_most(limit: Duration) -> Self {
        Self { began: Instant::now(), limit, next_log: LOG_INTERVAL }
    }

    /// How much of the time is left.
    pub(super) fn remaining(&self) -> Duration {
        self.limit.saturating_sub(self.began.elapsed())
    }

    /// Pauses before the next try; `false` where there is no time for one. Calls `log` with the seconds so far when it
    /// is time to.
    pub(super) async fn pause(&mut self, pause: Duration, log: impl FnOnce(u64)) -> bool {
        if self.remaining() <= pause {
            return false;
        }
        sleep(pause).await;
        let passed = self.began.elapsed();
        if passed >= self.next_log {
            self.next_log = passed + LOG_INTERVAL;
            log(passed.as_secs());
        }
        true
    }
}
