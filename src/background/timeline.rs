//! Fills timelines with what is in the audit trail alone, and removes those of customers that are gone, so slowly that others hardly
//! notice.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::supervisor::{OnStop, Task};
use crate::{
    app::App,
    database::Database,
    error::{Error, Result},
    timeline::fill::{self, OwnedTable, Step},
};

/// How long others have the database to themselves after a step: so many times what it took.
const LEFT_TO_OTHERS: u32 = 3;
/// How often it is looked for something to do.
const LOOK: Duration = Duration::from_secs(1);
/// How long the end of the service waits for a step that is under way. One that is cut off is taken again.
const FINISH: Duration = Duration::from_secs(5);

/// Fills and removes timelines.
pub(super) struct FillTimelines {
    database: Arc<Database>,
    tables: Vec<OwnedTable>,
    /// How many entries of the trail were gone through.
    filled: u64,
    pause: Duration,
}

impl FillTimelines {
    pub fn new(app: &App, tables: Vec<OwnedTable>) -> Self {
        Self { database: Arc::clone(app.database()), tables, filled: 0, pause: LOOK }
    }
}

impl Task for FillTimelines {
    const ON_STOP: OnStop = OnStop::FinishWithin(FINISH);

    async fn step(&mut self) -> Result<()> {
        self.pause = LOOK;
        let started = Instant::now();
        let removed = fill::remove(&self.database).await?;
        let worked_off = fill::work_off(&self.database, &self.tables).await?;
        let step = fill::step(&self.database, &self.tables).await?;
        match step {
            Step::Filled(entries) => self.filled = entries,
            Step::Done if self.filled > 0 => {
                tracing::info!(entries = self.filled, "timelines are filled from the audit trail");
                self.filled = 0;
            }
            Step::Done | Step::Elsewhere => {}
        }
        if removed || worked_off || matches!(step, Step::Filled(_)) {
            self.pause = started.elapsed() * LEFT_TO_OTHERS;
        }
        Ok(())
    }

    async fn pause(&mut self) {
        sleep(self.pause).await;
    }

    fn report(&self, error: &Error) {
        let cause = error.cause().unwrap_or_default();
        tracing::error!(cause, "timelines cannot be filled or removed");
    }
}
