//! `crm restore`: a backup of the SQLite database, into its place.

use std::path::PathBuf;

use clap::Args;

use super::{
    backup::{bytes_bar, look_into, show, sqlite},
    context::{ExitOutcome, interruptible, open_database, print},
};
use crate::{
    config::Config,
    database::{
        backup::{Head, Restore, check},
        migrate,
    },
    pii::key_registry,
};

#[derive(Debug, Args)]
#[command(
    after_help = "Stop the service first: a database that is in use is not replaced. What has its name is at every moment the old \
                        database or the restored one. `delivery/README.md` says what to do about those who have seen newer data."
)]
pub(super) struct RestoreArgs {
    /// The directory of the backup
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Put it in the place of the database that is there, which is kept under another name
    #[arg(long)]
    replace: bool,
    /// Leave out what takes long where there is much data: verifying totals and the audit trail, and indexes against their rows
    #[arg(long)]
    quick: bool,
}

pub(super) async fn run(config: Config, args: RestoreArgs) -> ExitOutcome {
    let advice = "the database is as it was: run it again";
    interruptible(restore(&config, args), advice).await
}

async fn restore(config: &Config, RestoreArgs { from, replace, quick }: RestoreArgs) -> ExitOutcome {
    let place = sqlite(config)?;
    let bar = bytes_bar("restored")?;
    let restore = Restore::begin(&from, &place, replace, &|done, of| show(&bar, done, of)).await?;
    bar.finish_and_clear();
    check::integrity(restore.database(), quick).await?;
    restore.compare_rows().await?;
    let contents = look_into(config, restore.database(), quick).await?;
    if let Some(faults) = contents.faults {
        return Err(
            format!("nothing is restored: the backup has {faults}; with --quick it is restored all the same").into()
        );
    }
    compare_heads(&restore.manifest.heads, &contents.heads)?;
    let (rows, begun_at) = (restore.manifest.rows.values().sum::<u64>(), restore.manifest.begun_at.clone());
    let kept = restore.finish().await?;
    print(&format!("{rows} rows as of {begun_at} are restored to {}", place.display()))?;
    if let Some(kept) = kept {
        print(&format!("the database that was there is now {}", kept.display()))?;
    }
    tell_keys(config).await
}

/// Compares the ends of the audit chains with those that were noted in the backup, where both were verified.
fn compare_heads(noted: &[Head], found: &[Head]) -> Result<(), String> {
    if noted.is_empty() || found.is_empty() || noted == found {
        return Ok(());
    }
    Err("nothing is restored: the ends of the audit chains are not those that the backup noted".to_owned())
}

/// Whether the service will find the keys that it needs.
async fn tell_keys(config: &Config) -> ExitOutcome {
    if migrate::check(&config.database_url).await.is_err() {
        return Ok(print("`crm migrate up`, or the next start with CRM_MIGRATE=auto, brings it up to date")?);
    }
    let database = open_database(config).await?;
    let checked = key_registry::check(config, &database).await;
    database.close().await?;
    match checked {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("it is restored, and the service will not start on it: {error}").into()),
    }
}
