//! Fills timelines with what is in the audit trail alone, and removes those of customers that are gone.

use std::{sync::Arc, time::Duration};

use super::steps::Steps;
use crate::{
    app::App,
    database::Database,
    error::Result,
    timeline::fill::{self, OwnedTable, Step},
};

/// Fills and removes timelines.
pub(super) struct FillTimelines {
    database: Arc<Database>,
    tables: Vec<OwnedTable>,
    /// How many entries of the trail were gone through.
    filled: u64,
}

impl FillTimelines {
    pub fn new(app: &App, tables: Vec<OwnedTable>) -> Self {
        Self { database: Arc::clone(app.database()), tables, filled: 0 }
    }
}

impl Steps for FillTimelines {
    const NAME: &'static str = "fill_timelines";
    const LOOK: Duration = Duration::from_secs(1);
    const FAILURE: &'static str = "timelines cannot be filled or removed";

    async fn step(&mut self) -> Result<bool> {
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
        Ok(removed || worked_off || matches!(step, Step::Filled(_)))
    }
}
