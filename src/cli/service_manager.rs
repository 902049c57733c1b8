//! What a service manager is told (sd_notify(3)): that a start takes its time, that the service is ready, alive or stopping.
//! Without one, nothing is told.

use std::{convert::Infallible, pin::pin, time::Duration};

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::interval;

/// How often patience is asked for while the service starts.
const AGAIN: Duration = Duration::from_secs(10);
/// How long from then on: a start that stands still must not wait for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells the service manager.
pub(super) fn tell(state: NotifyState<'_>) {
    if let Err(error) = notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be told of the service's state");
    }
}

/// Waits for the start, which may have a large database to migrate, and asks for patience meanwhile.
pub(super) async fn starting<T>(start: impl Future<Output = T>) -> T {
    let (mut start, mut again) = (pin!(start), interval(AGAIN));
    let patience = u32::try_from(PATIENCE.as_micros()).unwrap_or(u32::MAX);
    loop {
        tokio::select! {
            started = &mut start => return started,
            _ = again.tick() => tell(NotifyState::ExtendTimeoutUsec(patience)),
        }
    }
}

/// Tells twice in the manager's limit that the service is alive, if it asks for that. Where the runtime stands still, so does
/// this.
pub(super) async fn keep_watchdog_calm() -> Infallible {
    let Some(limit) = watchdog_enabled() else { return std::future::pending().await };
    let mut again = interval(limit / 2);
    loop {
        again.tick().await;
        tell(NotifyState::Watchdog);
    }
}
