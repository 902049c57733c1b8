//! `crm migrate up|down|status`: migrates the schema manually.

use clap::Subcommand;

use super::context::{ExitOutcome, print};
use crate::{
    config::Config,
    database::{migrate, reach::reach},
};

#[derive(Debug, Subcommand)]
pub(super) enum Direction {
    /// Apply pending migrations
    Up {
        /// Number of migrations to apply; all by default
        steps: Option<u32>,
    },
    /// Revert the last migrations, and delete the data in what they created
    Down {
        /// Number of migrations to revert
        #[arg(default_value_t = 1)]
        steps: u32,
    },
    /// Show applied and pending migrations
    Status,
}

pub(super) async fn run(config: &Config, direction: Direction) -> ExitOutcome {
    let (url, wait) = (config.schema_url(), config.database_wait);
    reach(url, wait).await?;
    match direction {
        Direction::Up { steps } => migrate::up(url, steps, wait).await?,
        Direction::Down { steps } => migrate::down(url, steps, wait).await?,
        Direction::Status => {}
    }
    for step in migrate::status(url).await? {
        let state = match (step.applied, step.known) {
            (_, false) => "newer  ",
            (true, true) => "applied",
            (false, true) => "pending",
        };
        print(&format!("{state} {}", step.name))?;
    }
    Ok(())
}
