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
        reindex::{self, Damage, Pass, Step},
    },
};

/// How long others have the database to themselves after a step: so many times what it took.
const LEFT_TO_OTHERS: u32 = 3;
/// How often it is looked for rows that a process of the release before has written, and how long a step that failed waits.
const LOOK: Duration = Duration::from_secs(5);
/// How long after a pass that met only values that do not open the next one begins. It begins sooner where rows come or go.
const DAMAGED: Duration = Duration::from_mins(10);
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
    /// How many rows the last pass could not index.
    damaged: u64,
    /// Until when there is nothing to do about these.
    rest: Option<Instant>,
    pause: Duration,
}

impl Reindex {
    pub fn new(app: &App, tables: Vec<PiiTable>) -> Self {
        let (database, cipher) = (Arc::clone(app.database()), Arc::clone(app.cipher()));
        Self { database, cipher, tables, pass: Pass::default(), rows: 0, damaged: 0, rest: None, pause: LOOK }
    }

    /// Whether nothing but what does not open is left. Rows that come and go in equal number are noticed when the rest is over;
    /// until then they are found by their former form.
    async fn is_resting(&self) -> Result<bool> {
        if self.rest.is_none_or(|until| Instant::now() >= until) {
            return Ok(false);
        }
        Ok(reindex::left(&self.database, &self.tables, self.damaged + 1).await? == self.damaged)
    }

    fn end_pass(&mut self, Damage { rows: damaged, first }: Damage) {
        if self.rows > 0 {
            tracing::info!(rows = self.rows, "phone numbers and e-mail addresses are indexed anew");
        }
        if damaged > 0 && damaged != self.damaged {
            tracing::warn!(
                rows = damaged,
                first,
                "phone numbers or e-mail addresses do not open and are not indexed anew"
            );
        }
        self.rest = (self.rows == 0 && damaged > 0).then(|| Instant::now() + DAMAGED);
        (self.rows, self.damaged) = (0, damaged);
    }
}

impl Task for Reindex {
    const ON_STOP: OnStop = OnStop::FinishWithin(FINISH);

    async fn step(&mut self) -> Result<()> {
        self.pause = LOOK;
        if self.is_resting().await? {
            return Ok(());
        }
        self.rest = None;
        let started = Instant::now();
        match reindex::step(&self.database, &self.cipher, &self.tables, &mut self.pass).await? {
            Step::Indexed(rows) => {
                self.rows += rows;
                self.pause = started.elapsed() * LEFT_TO_OTHERS;
            }
            Step::Done(damage) => self.end_pass(damage),
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
