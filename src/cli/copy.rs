//! `crm copy`: all data from SQLite to PostgreSQL, or back.

use clap::Args;

use super::{
    context::{ExitOutcome, fault, interruptible, open_database, print, progress_bar},
    doctor,
};
use crate::{
    audit::chain,
    config::{Config, DatabaseUrl},
    database::copy::{Copy, Step},
    pii::key_registry,
};

#[derive(Debug, Args)]
pub(super) struct CopyArgs {
    /// The database to copy: sqlite://FILE or postgres://USER@HOST/NAME. A password belongs in ~/.pgpass: others can see the
    /// command line
    #[arg(long, value_name = "URL")]
    from: String,
    /// The empty database to copy to: PostgreSQL where the other one is SQLite, or the other way round
    #[arg(long, value_name = "URL")]
    to: String,
    /// Begin anew, and not where an interrupted copy was
    #[arg(long)]
    restart: bool,
}

pub(super) async fn run(config: Config, CopyArgs { from, to, restart }: CopyArgs) -> ExitOutcome {
    let url = |option: &str, url: &str| url.parse::<DatabaseUrl>().map_err(|error| format!("{option} {error}"));
    let (from, to) = (url("--from", &from)?, url("--to", &to)?);
    interruptible(copy(&config, &from, &to, restart), "run the same again: it goes on where it was").await?;
    check(&Config { database_url: to, migrate_url: None, database_read_url: None, ..config }).await
}

/// Copies all rows, and compares them with the source.
async fn copy(config: &Config, from: &DatabaseUrl, to: &DatabaseUrl, restart: bool) -> ExitOutcome {
    let mut copy = Copy::begin(from, to, restart, config.database_wait).await?;
    let rows = copy.rows();
    let bar = progress_bar(rows, "rows copied")?;
    bar.set_position(copy.copied());
    while let Step::Rows(rows) = copy.step().await? {
        bar.inc(rows);
    }
    bar.finish_and_clear();
    let bar = progress_bar(rows, "rows compared")?;
    while let Step::Rows(rows) = copy.compare().await? {
        bar.inc(rows);
    }
    bar.finish_and_clear();
    copy.finish().await?;
    Ok(print(&format!("{rows} rows are copied, and compared with the source"))?)
}

/// Verifies on the copy what the service keeps of its data: the chains of the trail, and the totals.
async fn check(config: &Config) -> ExitOutcome {
    let database = open_database(config).await?;
    let mut faults = 0;
    for verdict in chain::verify(&database).await.map_err(fault)? {
        for fault in &verdict.faults {
            print(&format!("{}: {fault}", verdict.tenant))?;
        }
        faults += verdict.faults.len();
    }
    if faults > 0 {
        return Err(format!("{faults} faults in the audit trail, in the source as in the copy").into());
    }
    print("the audit trail is unbroken")?;
    doctor::counts(&database, false).await?;
    let keys = key_registry::needed(&database).await.map_err(fault)?;
    database.close().await?;
    if !keys.is_empty() {
        let keys = keys.join(", ");
        print(&format!(
            "personal data is sealed with the keys {keys}: the service needs them (CRM_PII_KEYS), as before"
        ))?;
    }
    Ok(())
}
