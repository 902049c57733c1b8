//! Writes what text is found by, for the rows that were there before and for those that a process of the release before has
//! written.

use std::{sync::Arc, time::Duration};

use super::steps::Steps;
use crate::{
    app::App,
    database::{
        Database,
        search::build::{self, Pass, SearchedTable, Step},
    },
    error::Result,
};

/// Writes the documents of rows.
pub(super) struct BuildSearch {
    database: Arc<Database>,
    tables: Vec<SearchedTable>,
    pass: Pass,
    /// How many documents of the build that is under way are written.
    built: u64,
}

impl BuildSearch {
    pub fn new(app: &App, tables: Vec<SearchedTable>) -> Self {
        Self { database: Arc::clone(app.database()), tables, pass: Pass::default(), built: 0 }
    }
}

impl Steps for BuildSearch {
    const NAME: &'static str = "build_search";
    const LOOK: Duration = Duration::from_secs(1);
    const FAILURE: &'static str = "the index of searches cannot be written";

    async fn step(&mut self) -> Result<bool> {
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
        Ok(from_queue.is_some() || matches!(built, Step::Written(_)))
    }
}
