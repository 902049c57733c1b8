//! Pauses that grow with every failure.

use std::time::Duration;

/// Before a broker that is down is tried again.
pub(super) const RECONNECT: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5) };

/// Before a refused event is sent again.
pub(super) const RETRY: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

/// A pause that doubles with every failure in a row.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest one.
    pub longest: Duration,
}

impl Backoff {
    /// The pause after this many failures in a row.
    #[must_use]
    pub fn after(self, failures: u32) -> Duration {
        self.first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.longest)
    }

    /// Between half of the pause and all of it, so that many processes do not come back at the same instant.
    #[must_use]
    pub fn jittered_after(self, failures: u32) -> Duration {
        let pause = self.after(failures);
        let random = getrandom::u32().unwrap_or_default();
        pause / 2 + (pause / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}
