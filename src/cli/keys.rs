//! `crm keys rotate`: re-encrypts all stored phone numbers and e-mail addresses with the first key, while the service
//! runs.

use std::sync::Arc;

use clap::Subcommand;

use super::context::{ExitOutcome, fault, interruptible, open_database, print, progress_bar};
use crate::{
    config::Config,
    database::{self, Database},
    pii::{
        key_registry,
        rotate::{self, Report},
    },
    service::resources::pii_tables,
    values::Clock,
};

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Re-encrypt all phone numbers and e-mail addresses with the first key; if interrupted, run it again
    Rotate {
        /// Include values that this key encrypts already, to rebuild their search index after a change of
        /// CRM_PHONE_COUNTRY
        #[arg(long)]
        all: bool,
    },
}

pub(super) async fn run(config: Config, Task::Rotate { all }: Task) -> ExitOutcome {
    let database = open_database(&config).await?;
    let advice = "what is re-encrypted stays so: run it again to go on with the rest";
    interruptible(rotate(&config, database, all), advice).await
}

async fn rotate(config: &Config, database: Database, all: bool) -> ExitOutcome {
    let cipher = Arc::new(key_registry::open(config, &database, Clock::System.now()).await?);
    let bar = progress_bar(0, "rows")?;
    let report = rotate::run(&database, &cipher, &pii_tables(), all, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .await;
    bar.finish_and_clear();
    let report = report.map_err(fault)?;
    database.close().await?;
    if report.sealed_clear {
        database::clean(&config.database_url).await?;
    }
    print_report(&report, cipher.sealing_key().map_or("in clear", |key| key.as_str()))
}

fn print_report(report: &Report, present: &str) -> ExitOutcome {
    print(&format!("{} rows are stored anew ({present})", report.rows))?;
    for (name, left) in &report.left {
        match left {
            0 => print(&format!("{name}: nothing is left, it is no longer needed"))?,
            left => print(&format!("{name}: {left} values are left"))?,
        }
    }
    if !report.damaged.is_empty() {
        return Err(
            format!("these values do not open, and were left as they are:\n  {}", report.damaged.join("\n  ")).into()
        );
    }
    match report.left.iter().map(|(_, left)| left).sum::<u64>() {
        0 => Ok(()),
        left => Err(format!("{left} values were being changed all the time: run it again").into()),
    }
}
