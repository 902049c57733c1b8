//! Indexes anew what the release before has written.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::steps::Steps;
use crate::{
    app::App,
    database::Database,
    error::Result,
    pii::{
        PiiCipher, PiiTable,
        reindex::{self, Damage, Pass, Step},
    },
};

/// How long after a pass that met only values that do not open the next one begins. It begins sooner where rows come or go.
const DAMAGED: Duration = Duration::from_mins(10);

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
}

impl Reindex {
    pub fn new(app: &App, tables: Vec<PiiTable>) -> Self {
        let (database, cipher) = (Arc::clone(app.database()), Arc::clone(app.cipher()));
        Self { database, cipher, tables, pass: Pass::default(), rows: 0, damaged: 0, rest: None }
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

impl Steps for Reindex {
    const NAME: &'static str = "index_anew";
    const LOOK: Duration = Duration::from_secs(5);
    const FAILURE: &'static str = "phone numbers and e-mail addresses cannot be indexed anew";

    async fn step(&mut self) -> Result<bool> {
        if self.is_resting().await? {
            return Ok(false);
        }
        self.rest = None;
        match reindex::step(&self.database, &self.cipher, &self.tables, &mut self.pass).await? {
            Step::Indexed(rows) => {
                self.rows += rows;
                Ok(true)
            }
            Step::Done(damage) => {
                self.end_pass(damage);
                Ok(false)
            }
        }
    }
}
