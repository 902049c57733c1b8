//! Work that is done in steps, so slowly that others hardly notice.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::supervisor::{OnStop, Task};
use crate::error::{Error, Result};

/// How long others have the database to themselves after a step: so many times what it took.
pub(super) const LEFT_TO_OTHERS: u32 = 3;
/// How long the end of the service waits for a step that is under way. One that is cut off is taken again.
pub(super) const FINISH: Duration = Duration::from_secs(5);

/// What is done in steps.
pub(super) trait Steps: Send + 'static {
    /// Under which name its failures are counted.
    const NAME: &'static str;
    /// How often it is looked for something to do, and how long a step that failed waits.
    const LOOK: Duration;
    /// What the log says when a step fails.
    const FAILURE: &'static str;

    /// Takes the next step; whether there was something to do.
    fn step(&mut self) -> impl Future<Output = Result<bool>> + Send;
}

/// Takes these steps.
pub(super) struct Slowly<S> {
    steps: S,
    pause: Duration,
}

impl<S: Steps> Slowly<S> {
    pub fn new(steps: S) -> Self {
        Self { steps, pause: S::LOOK }
    }
}

impl<S: Steps> Task for Slowly<S> {
    const ON_STOP: OnStop = OnStop::FinishWithin(FINISH);

    fn name(&self) -> &'static str {
        S::NAME
    }

    async fn step(&mut self) -> Result<()> {
        self.pause = S::LOOK;
        let started = Instant::now();
        if self.steps.step().await? {
            self.pause = started.elapsed() * LEFT_TO_OTHERS;
        }
        Ok(())
    }

    async fn pause(&mut self) {
        sleep(self.pause).await;
    }

    fn report(&self, error: &Error) {
        tracing::error!(cause = error.cause().unwrap_or_default(), "{}", S::FAILURE);
    }
}
