//! Reads the numbers of all tenants for the metrics, beside the requests and so rarely that these hardly notice.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::supervisor::{OnStop, Task};
use crate::{
    app::App,
    error::{Error, Result},
    pipeline::gauges,
};

/// How often they are read.
const REFRESH: Duration = Duration::from_secs(60);
/// How long others have the database to themselves afterwards: so many times what it took.
const LEFT_TO_OTHERS: u32 = 20;

/// Reads the numbers of all tenants.
pub(super) struct ReadBusinessFigures {
    app: App,
    pause: Duration,
}

impl ReadBusinessFigures {
    pub fn new(app: &App) -> Self {
        Self { app: app.clone(), pause: REFRESH }
    }
}

impl Task for ReadBusinessFigures {
    /// Nothing is lost with it.
    const ON_STOP: OnStop = OnStop::Drop;

    fn name(&self) -> &'static str {
        "read_business_figures"
    }

    async fn step(&mut self) -> Result<()> {
        let started = Instant::now();
        let read = gauges::refresh(self.app.database(), &self.app.metrics().business, self.app.now().0).await;
        self.pause = REFRESH.max(started.elapsed() * LEFT_TO_OTHERS);
        read
    }

    async fn pause(&mut self) {
        sleep(self.pause).await;
    }

    fn report(&self, error: &Error) {
        tracing::error!(cause = error.cause().unwrap_or_default(), "the numbers of all tenants cannot be read");
    }
}
