//! `crm copy`: all data from SQLite to PostgreSQL, or back.

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    context::{ExitOutcome, StopSignal, fault, open_database, print},
    doctor,
};
use crate::{
    audit::chain,
    config::{Config, DatabaseUrl},
    database::copy::{Copy, CopyError, Step},
    pii::key_registry,
};

/// What is said when it is interrupted.
const INTERRUPTED: &str = "interrupted: run the same again, it goes on where it was";

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
    let mut stop_signal = StopSignal::listen()?;
    let done = tokio::select! {
        copied = copy(&config, &from, &to, restart) => copied?,
        () = stop_signal.received() => return Err(INTERRUPTED.into()),
    };
    print(&format!("{done} rows are copied, and compared with the source"))?;
    check(&Config { database_url: to, migrate_url: None, ..config }).await
}

/// Copies and compares; returns how many rows there are.
async fn copy(config: &Config, from: &DatabaseUrl, to: &DatabaseUrl, restart: bool) -> Result<u64, CopyError> {
    let mut copy = Copy::begin(from, to, restart, config.database_wait).await?;
    let bar = |what: &str| {
        let style = ProgressStyle::with_template(&format!("{what} {{bar:40}} {{pos}} of {{len}} rows, {{eta}} left"));
        ProgressBar::new(copy.rows()).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    };
    let (copying, comparing) = (bar("copying  "), bar("comparing"));
    copying.set_position(copy.copied());
    while let Step::Rows(rows) = copy.step().await? {
        copying.inc(rows);
    }
    copying.finish_and_clear();
    while let Step::Rows(rows) = copy.compare().await? {
        comparing.inc(rows);
    }
    comparing.finish_and_clear();
    let rows = copy.copied();
    copy.finish().await?;
    Ok(rows)
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
