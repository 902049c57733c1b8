//! `crm search rebuild`: writes anew what text is found by, while the service runs.

use std::time::{Duration, Instant};

use clap::Subcommand;

use super::context::{ExitOutcome, fault, interruptible, open_database, print, progress_bar};
use crate::{
    config::Config,
    database::{
        Database,
        search::build::{self, Step},
    },
    service::resources::searched_tables,
    values::Tenant,
};

/// The shortest pause between two transactions, in which others write.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Write anew what text is found by; if interrupted, run it again: it goes on where it was
    Rebuild {
        /// Of this tenant alone
        #[arg(long)]
        tenant: Option<String>,
    },
}

pub(super) async fn run(config: Config, task: Task) -> ExitOutcome {
    let Task::Rebuild { tenant } = task;
    let only = match tenant {
        Some(tenant) => Some(Tenant::parse(&tenant).ok_or_else(|| format!("--tenant {}", Tenant::EXPECTED))?),
        None => None,
    };
    let database = open_database(&config).await?;
    let advice = "run it again: it goes on where it was";
    interruptible(rebuild(&database, only.as_ref()), advice).await?;
    Ok(database.close().await?)
}

async fn rebuild(database: &Database, only: Option<&Tenant>) -> ExitOutcome {
    let tables = searched_tables();
    let total = build::count(database, &tables, only).await.map_err(fault)?;
    let bar = progress_bar(total, "rows")?;
    let mut done = build::begin(database, only).await.map_err(fault)?;
    if done > 0 {
        print(&format!("going on after {done} rows"))?;
    }
    loop {
        let started = Instant::now();
        match build::step(database, &tables, Some(only)).await.map_err(fault)? {
            Step::Written(rows) => done = rows,
            Step::Elsewhere => {}
            Step::Done => break,
        }
        bar.set_length(total.max(done));
        bar.set_position(done);
        tokio::time::sleep(PAUSE.max(started.elapsed())).await;
    }
    bar.finish_and_clear();
    print(&format!("{done} rows are searched anew"))?;
    Ok(())
}
