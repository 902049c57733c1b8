//! `crm doctor`: what the service depends on, looked over, for operators: what is found, and what to do about it. Nothing is
//! changed. `counts` alone compares the totals that are kept with counting, and may mend them.

mod checks;
mod counts;
mod finding;
mod machine;

use clap::{Args, Subcommand};

pub(super) use self::counts::counts;
use self::{
    counts::CountsArgs,
    finding::{Finding, State},
};
use super::context::{ExitOutcome, interruptible, open_database, print};
use crate::config::Config;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct DoctorArgs {
    #[command(subcommand)]
    task: Option<Task>,
    /// Leave out what takes long where there is much data: the totals and the audit trail's chain
    #[arg(long)]
    quick: bool,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Compare the totals of lists and of the pipeline with counting; fails where one is wrong and is not mended
    Counts(CountsArgs),
}

pub(super) async fn run(config: Config, args: DoctorArgs) -> ExitOutcome {
    match args.task {
        Some(Task::Counts(args)) => {
            let database = open_database(&config).await?;
            let advice = "what is mended stays so: run it again";
            let outcome = interruptible(counts(&database, args.mend), advice).await;
            database.close().await?;
            outcome
        }
        None => interruptible(look_over(&config, args.quick), "run it again, or with --quick").await,
    }
}

/// Prints each finding as soon as it is made, and fails where something keeps the service from working.
async fn look_over(config: &Config, is_quick: bool) -> ExitOutcome {
    let (mut failed, mut noticed) = (0_u32, 0_u32);
    let mut tell = |finding: Finding| {
        failed += u32::from(finding.state == State::Failed);
        noticed += u32::from(finding.state == State::Noticed);
        print(&finding.to_string())
    };
    checks::all(config, is_quick, &mut tell).await?;
    match (failed, noticed) {
        (0, 0) => Ok(print("all is well")?),
        (0, noticed) => Ok(print(&format!("nothing is broken; to be looked at: {noticed}"))?),
        (failed, _) => Err(format!("to be put right: {failed}").into()),
    }
}
