//! `crm backup`: the SQLite database, while it is served.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;

use super::{
    context::{ExitOutcome, fault, interruptible, open_database, print, progress_bar},
    doctor,
};
use crate::{
    audit::chain,
    config::{Config, DatabaseUrl, PiiKeySource},
    database::{
        backup::{Draft, Head, check},
        migrate::{self, SchemaError},
    },
    pii::key_registry,
};

#[derive(Debug, Args)]
#[command(
    after_help = "The keys are not in it, and belong in another place: with them, a backup is as good as clear text. On PostgreSQL, \
                        back up by its own tools: delivery/postgres-backup does."
)]
pub(super) struct BackupArgs {
    /// The directory to be made, with the database and what is said of it
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Leave out what takes long where there is much data: verifying totals and the audit trail, and indexes against their rows
    #[arg(long)]
    quick: bool,
}

/// What was found in a copy.
#[derive(Default)]
pub(super) struct Contents {
    pub keys: Vec<String>,
    pub heads: Vec<Head>,
    /// What is wrong with the data, in the database as in its copy.
    pub faults: Option<String>,
}

pub(super) async fn run(config: Config, BackupArgs { to, quick }: BackupArgs) -> ExitOutcome {
    let database = sqlite(&config)?;
    interruptible(back_up(&config, &database, &to, quick), "nothing is left of it: run it again").await
}

/// The SQLite file that is configured.
pub(super) fn sqlite(config: &Config) -> Result<PathBuf, &'static str> {
    match &config.database_url {
        DatabaseUrl::Sqlite(file) => Ok(file.clone()),
        DatabaseUrl::Postgres(_) => {
            Err("CRM_DATABASE_URL names PostgreSQL, which has its own tools for this: see delivery/postgres-backup")
        }
    }
}

async fn back_up(config: &Config, database: &Path, to: &Path, is_quick: bool) -> ExitOutcome {
    let bar = bytes_bar("copied")?;
    let draft = Draft::take(database, to, &|done, of| show(&bar, done, of)).await?;
    bar.finish_and_clear();
    check::integrity(&draft.database(), is_quick).await?;
    let contents = look_into(config, &draft.database(), is_quick).await?;
    let manifest = draft.finish(contents.keys, contents.heads).await?;
    let rows: u64 = manifest.rows.values().sum();
    print(&format!("{rows} rows as of {} are backed up to {}", manifest.begun_at, to.display()))?;
    tell_keys(config, &manifest.keys)?;
    match contents.faults {
        None => Ok(()),
        Some(faults) => Err(format!("the backup is made, and is as the database is: {faults}").into()),
    }
}

/// Which keys personal data is sealed with, and that they are not in the backup.
fn tell_keys(config: &Config, keys: &[String]) -> ExitOutcome {
    if keys.is_empty() {
        return Ok(());
    }
    let at = match &config.pii_keys {
        PiiKeySource::Embedded(file) => format!(" ({})", file.display()),
        PiiKeySource::Given(_) | PiiKeySource::NotConfigured => String::new(),
    };
    let keys = keys.join(", ");
    Ok(print(&format!("personal data is sealed with the keys {keys}, which are not in it: keep them elsewhere{at}"))?)
}

/// A bar of bytes, whose number is known once there are some.
pub(super) fn bytes_bar(what: &str) -> Result<ProgressBar, Box<dyn std::error::Error + Send + Sync>> {
    progress_bar(0, &format!("bytes {what}"))
}

pub(super) fn show(bar: &ProgressBar, done: u64, of: u64) {
    bar.set_length(of);
    bar.set_position(done.min(of));
}

/// Verifies in a copy what the service keeps of its data: the chains of the trail, and the totals. What this program cannot read
/// yet, because the copy has the schema of an earlier release, is verified after the upgrade.
pub(super) async fn look_into(
    config: &Config,
    copy: &Path,
    is_quick: bool,
) -> Result<Contents, Box<dyn std::error::Error + Send + Sync>> {
    let url = DatabaseUrl::Sqlite(copy.to_owned());
    match migrate::check(&url).await {
        Ok(()) => {}
        Err(SchemaError::Behind(_)) => {
            print("it has the schema of an earlier release: verify the audit trail and the totals after the upgrade")?;
            return Ok(Contents::default());
        }
        Err(error) => return Err(error.into()),
    }
    let database = open_database(&Config { database_url: url, migrate_url: None, ..config.clone() }).await?;
    let mut contents = Contents { keys: key_registry::needed(&database).await.map_err(fault)?, ..Contents::default() };
    if !is_quick {
        let bar = progress_bar(chain::length(&database).await.map_err(fault)?, "audit entries verified")?;
        let verdicts = chain::verify_with(&database, &|entries| bar.inc(entries)).await;
        bar.finish_and_clear();
        let verdicts = verdicts.map_err(fault)?;
        let faults: usize = verdicts.iter().map(|verdict| verdict.faults.len()).sum();
        match faults {
            0 => print("the audit trail is unbroken")?,
            _ => contents.faults = Some(format!("{faults} faults in the audit trail: `crm audit verify` names them")),
        }
        contents.heads = verdicts.into_iter().map(head).collect();
        if let Err(wrong) = doctor::counts(&database, false).await {
            contents.faults.get_or_insert(wrong.to_string());
        }
    }
    database.close().await?;
    Ok(contents)
}

fn head(chain::Verdict { tenant, head: (number, hash), .. }: chain::Verdict) -> Head {
    Head { tenant, number, hash }
}
