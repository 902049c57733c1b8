//! Until when something must be answered: every wait for the database has one of these.

use std::{io, time::Duration};

use sea_orm::sqlx;
use tokio::time::{Instant, timeout_at};

/// Until when.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    statements: Instant,
    answer: Instant,
}

impl Deadline {
    /// An answer within `patience`. The last tenth of it is for committing and undoing.
    #[must_use]
    pub fn within(patience: Duration) -> Self {
        let now = Instant::now();
        Self { statements: now + patience.mul_f64(0.9), answer: now + patience }
    }

    /// Until when connections, locks and the answers of statements are waited for.
    #[must_use]
    pub fn for_statements(self) -> Instant {
        self.statements
    }

    /// Until when the one who asked must have an answer, whatever it is.
    #[must_use]
    pub fn for_answer(self) -> Instant {
        self.answer
    }

    /// How long statements may still take.
    #[must_use]
    pub fn left(self) -> Duration {
        self.statements.saturating_duration_since(Instant::now())
    }

    /// Whether nothing more may be begun.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }
}

/// Waits for an answer of the database, but not longer than `until`.
pub(super) async fn answer<T>(
    until: Instant,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout_at(until, answer).await.unwrap_or_else(|_| Err(no_answer()))
}

/// The error of what did not come in time.
pub(super) fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the database did not answer in time"))
}
