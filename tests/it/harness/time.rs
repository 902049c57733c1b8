//! Time, and waiting with a limit.

use std::time::{Duration, Instant};

/// A day of the service's clock, in milliseconds.
pub const DAY: i64 = 86_400_000;

/// More than any single step of a test takes: whatever takes longer hangs.
pub const AMPLE: Duration = Duration::from_secs(60);

/// Waits until the condition holds; fails if it does not within `seconds`.
pub async fn within(seconds: u64, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = tokio::time::Instant::now();
    while !holds().await {
        assert!(start.elapsed() < Duration::from_secs(seconds), "{what}: not within {seconds} s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The median time of some calls.
pub async fn median(mut call: impl AsyncFnMut()) -> Duration {
    let mut times = Vec::new();
    for _ in 0..15 {
        let began = Instant::now();
        call().await;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}
