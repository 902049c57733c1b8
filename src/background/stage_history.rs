//! Fills in the stage history of opportunities that were there before it, and of those that a process of the release before has
//! moved, so slowly that others hardly notice.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::supervisor::{OnStop, Task};
use crate::{
    app::App,
    database::Database,
    error::{Error, Result},
    opportunities::history::fill::{self, Pass},
};

/// How long others have the database to themselves after a step: so many times what it took.
const LEFT_TO_OTHERS: u32 = 3;
/// How often it is looked for what is to be filled in.
const LOOK: Duration = Duration::from_secs(1);
/// How long the end of the service waits for a step that is under way. One that is cut off is taken again.
const FINISH: Duration = Duration::from_secs(5);

/// Fills in stage histories.
pub(super) struct FillStageHistory {
    database: Arc<Database>,
    pass: Pass,
    pause: Duration,
}

impl FillStageHistory {
    pub fn new(app: &App) -> Self {
        Self { database: Arc::clone(app.database()), pass: Pass::default(), pause: LOOK }
    }
}

impl Task for FillStageHistory {
    const ON_STOP: OnStop = OnStop::FinishWithin(FINISH);

    async fn step(&mut self) -> Result<()> {
        self.pause = LOOK;
        let started = Instant::now();
        if fill::step(&self.database, &mut self.pass).await?.is_some() {
            self.pause = started.elapsed() * LEFT_TO_OTHERS;
        }
        Ok(())
    }

    async fn pause(&mut self) {
        sleep(self.pause).await;
    }

    fn report(&self, error: &Error) {
        let cause = error.cause().unwrap_or_default();
        tracing::error!(cause, "the stage history of opportunities cannot be filled in");
    }
}
