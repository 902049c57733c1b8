//! Indexes anew what the release before has written, so slowly that others hardly notice.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::supervisor::{OnStop, Task};
use crate::{
    app::App,
    database::Database,
    error::{Error, Result},
    pii::{
        PiiCipher, PiiTable,
        reindex::{self, Pass, Step},
    },
};

/// How long others have the database to themselves after a step: so many times what it took.
const LEFT_TO_OTHERS: u32 = 3;
/// How often it is looked for rows that a process of the release before has written, and how long a step that failed waits.
const LOOK: Duration = Duration::from_secs(5);
/// How long the end of the service waits for a step that is under way. One that is cut off is taken again.
const FINISH: Duration = Duration::from_secs(5);

/// Indexes phone numbers and e-mail addresses anew.
pub(super) struct Reindex {
    database: Arc<Database>,
    cipher: Arc<PiiCipher>,
    tables: Vec<PiiTable>,
    pass: Pass,
    /// How many rows were indexed in this pass.
    rows: u64,
    pause: Duration,
}

impl Reindex {
    pub fn new(app: &App, tables: Vec<PiiTable>) -> Self {
        let (database, cipher) = (Arc::clone(app.database()), Arc::clone(app.cipher()));
        Self { database, cipher, tables, pass: Pass::default(), rows: 0, pause: LOOK }
    }
}

impl Task for Reindex {
    const ON_STOP: OnStop = OnStop::FinishWithin(FINISH);

    async fn step(&mut self) -> Result<()> {
        self.pause = LOOK;
        let started = Instant::now();
        match reindex::step(&self.database, &self.cipher, &self.tables, &mut self.pass).await? {
            Step::Indexed(rows) => {
                self.rows += rows;
                self.pause = started.elapsed() * LEFT_TO_OTHERS;
            }
            Step::Done if self.rows > 0 => {
                tracing::info!(rows = self.rows, "phone numbers and e-mail addresses are indexed anew");
                self.rows = 0;
            }
            Step::Done => {}
        }
        Ok(())
    }

    async fn pause(&mut self) {
        sleep(self.pause).await;
    }

    fn report(&self, error: &Error) {
        let cause = error.cause().unwrap_or_default();
        tracing::error!(cause, "phone numbers and e-mail addresses cannot be indexed anew");
    }
}
