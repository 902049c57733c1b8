//! `crm retention status|confirm`: what the retention takes for the time, for operators.

use clap::Subcommand;

use super::context::{ExitOutcome, fault, open_database, print};
use crate::{
    config::Config,
    database::horizon::{self, Horizon},
    values::Clock,
};

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Show the horizon by which is judged what is past its time, and the clock
    Status,
    /// Say that this machine's clock is right: what is past its time by it may be deleted
    Confirm,
}

pub(super) async fn run(config: Config, task: Task) -> ExitOutcome {
    let database = open_database(&config).await?;
    let now = Clock::System.now().0;
    let outcome = match task {
        Task::Status => horizon::stored(&database).await.map(|horizon| format!("horizon {}", describe(horizon))),
        Task::Confirm => {
            let before = horizon::confirm(&database, now).await;
            before.map(|before| format!("the horizon is the clock now; it was {}", describe(before)))
        }
    };
    database.close().await?;
    print(&format!("clock   {}", now.to_rfc3339()))?;
    Ok(print(&outcome.map_err(fault)?)?)
}

fn describe(horizon: Option<Horizon>) -> String {
    horizon.map_or_else(|| "none: nothing was purged yet".to_owned(), |horizon| horizon.instant().to_rfc3339())
}
