//! Writes what text is found by, for the rows that were there before and for those that a process of the release before has
//! written, so slowly that others hardly notice.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::supervisor::{OnStop, Task};
use crate::{
    app::App,
    database::{
        Database,
        search::build::{self, Pass, SearchedTable, Step},
    },
    error::{Error, Result},
};

/// How long others have the database to themselves after a step: so many times what it took.
const LEFT_TO_OTHERS: u32 = 3;
/// How often it is looked for rows without a document.
const LOOK: Duration = Duration::from_secs(1);
/// How long the end of the service waits for a step that is under way. One that is cut off is taken again.
const FINISH: Duration = Duration::from_secs(5);

/// Writes the documents of rows.
pub(super) struct BuildSearch {
    database: Arc<Database>,
    tables: Vec<SearchedTable>,
    pass: Pass,
    /// How many documents of the build that is under way are written.
    built: u64,
    pause: Duration,
}

impl BuildSearch {
    pub fn new(app: &App, tables: Vec<SearchedTable>) -> Self {
        Self { database: Arc::clone(app.database()), tables, pass: Pass::default(), built: 0, pause: LOOK }
    }
}

impl Task for BuildSearch {
    const ON_STOP: OnStop = OnStop::FinishWithin(FINISH);

    async fn step(&mut self) -> Result<()> {
        self.pause = LOOK;
        let started = Instant::now();
        let from_queue = build::work_off(&self.database, &self.tables, &mut self.pass).await?;
        let built = build::step(&self.database, &self.tables, None).await?;
        match built {
            Step::Written(rows) => self.built = rows,
            Step::Done if self.built > 0 => {
                tracing::info!(rows = self.built, "the index of searches is built");
                self.built = 0;
            }
            Step::Done | Step::Elsewhere => {}
        }
        if from_queue.is_some() || matches!(built, Step::Written(_)) {
            self.pause = started.elapsed() * LEFT_TO_OTHERS;
        }
        Ok(())
    }

    async fn pause(&mut self) {
        sleep(self.pause).await;
    }

    fn report(&self, error: &Error) {
        let cause = error.cause().unwrap_or_default();
        tracing::error!(cause, "the index of searches cannot be written");
    }
}
