//! `crm migrate up|down|status|roles`: migrates the schema manually, and prints who may do what with it.

use clap::Subcommand;

use super::context::{ExitOutcome, print};
use crate::{
    config::Config,
    database::{migrate, reach::reach, roles},
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
    /// Print the statements that give the service's PostgreSQL role its rights, for the owner of the schema to run after
    /// each `crm migrate up`
    Roles {
        /// Role that `crm serve` runs as
        #[arg(long, default_value = "crm_service")]
        role: String,
        /// Schema of the tables
        #[arg(long, default_value = "public")]
        schema: String,
    },
}

pub(super) async fn run(config: &Config, direction: Direction) -> ExitOutcome {
    let (url, wait) = (config.schema_url(), config.database_wait);
    if let Direction::Roles { role, schema } = direction {
        return Ok(print(roles::grants(&role, &schema).trim_end())?);
    }
    reach(url, wait).await?;
    match direction {
        Direction::Up { steps } => migrate::up(url, steps, wait).await?,
        Direction::Down { steps } => migrate::down(url, steps, wait).await?,
        Direction::Status | Direction::Roles { .. } => {}
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
