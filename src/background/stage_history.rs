//! Fills in the stage history of opportunities that were there before it, and of those that a process of the release before has
//! moved.

use std::{sync::Arc, time::Duration};

use super::steps::Steps;
use crate::{
    app::App,
    database::Database,
    error::Result,
    opportunities::history::fill::{self, Pass},
};

/// Fills in stage histories.
pub(super) struct FillStageHistory {
    database: Arc<Database>,
    pass: Pass,
}

impl FillStageHistory {
    pub fn new(app: &App) -> Self {
        Self { database: Arc::clone(app.database()), pass: Pass::default() }
    }
}

impl Steps for FillStageHistory {
    const NAME: &'static str = "fill_stage_history";
    const LOOK: Duration = Duration::from_secs(1);
    const FAILURE: &'static str = "the stage history of opportunities cannot be filled in";

    async fn step(&mut self) -> Result<bool> {
        Ok(fill::step(&self.database, &mut self.pass).await?.is_some())
    }
}
