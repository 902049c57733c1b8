//! Reads how long things wait in the database, for the metrics: events to be published, audit entries to be chained.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep};

use super::supervisor::{OnStop, Task};
use crate::{
    app::App,
    audit::chain::{self, Backlog},
    error::{Error, Result},
    relay,
};

/// How often it is read.
const REFRESH: Duration = Duration::from_secs(5);
/// How long others have the database to themselves afterwards: so many times what it took.
const LEFT_TO_OTHERS: u32 = 20;

/// Reads how long things wait.
pub(super) struct ReadQueues {
    app: App,
    pause: Duration,
}

impl ReadQueues {
    pub fn new(app: &App) -> Self {
        Self { app: app.clone(), pause: REFRESH }
    }
}

impl Task for ReadQueues {
    /// Nothing is lost with it.
    const ON_STOP: OnStop = OnStop::Drop;

    fn name(&self) -> &'static str {
        "read_queues"
    }

    async fn step(&mut self) -> Result<()> {
        let started = Instant::now();
        let read = refresh(&self.app).await;
        self.pause = REFRESH.max(started.elapsed() * LEFT_TO_OTHERS);
        read
    }

    async fn pause(&mut self) {
        sleep(self.pause).await;
    }

    fn report(&self, error: &Error) {
        tracing::error!(cause = error.cause().unwrap_or_default(), "it cannot be read how long things wait");
    }
}

/// Reads how long things wait, and shows it. Without a broker no event waits for one.
///
/// # Errors
/// A fault of the database: then the figures before stay.
pub async fn refresh(app: &App) -> Result<()> {
    let (database, metrics) = (app.database(), app.metrics());
    let Backlog { entries, oldest } = chain::backlog(database).await?;
    metrics.audit.unchained.set(entries);
    metrics.audit.chain_lag.set(age(app, oldest));
    if app.config().events_url.is_some() {
        relay::show(&relay::status(database).await?, metrics);
        metrics.events.oldest_waiting.set(age(app, relay::oldest_waiting(database).await?));
    }
    Ok(())
}

/// How long ago that was, in seconds.
fn age(app: &App, then: Option<DateTime<Utc>>) -> i64 {
    then.map_or(0, |then| (app.now().0 - then).num_seconds().max(0))
}
