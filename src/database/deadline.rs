//! Time limits: every wait for the database has one.

use std::{io, time::Duration};

use sea_orm::sqlx;
use tokio::time::{Instant, timeout_at};

/// How long a request may wait for the database: it is answered within ten seconds, and the rest of the way takes time too.
pub const REQUEST: Duration = Duration::from_secs(9);
/// How long a command may, which goes through everything that is stored.
pub const COMMAND: Duration = Duration::from_secs(3600);

/// When time is up.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    statements: Instant,
    answer: Instant,
}

impl Deadline {
    /// An answer within `time_limit`. The last tenth of it is for committing and undoing.
    #[must_use]
    pub fn within(time_limit: Duration) -> Self {
        let now = Instant::now();
        Self { statements: now + time_limit.mul_f64(0.9), answer: now + time_limit }
    }

    /// Until when connections, locks and the answers of statements are waited for.
    #[must_use]
    pub fn for_statements(self) -> Instant {
        self.statements
    }

    /// Until when the caller must have an answer, whatever it is.
    #[must_use]
    pub fn for_answer(self) -> Instant {
        self.answer
    }

    /// How long statements may still take.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.statements.saturating_duration_since(Instant::now())
    }

    /// Whether it is too late to begin anything.
    #[must_use]
    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }
}

/// Waits for an answer of the database, but not longer than `until`.
pub(super) async fn answer_by<T>(
    until: Instant,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout_at(until, answer).await.unwrap_or_else(|_| Err(timed_out()))
}

/// The error of what did not come in time.
pub(super) fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the database did not answer in time"))
}
