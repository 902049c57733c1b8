//! `crm audit verify|export`: the audit trail, for auditors.

use std::io::{self, IsTerminal, Write};

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use super::context::{ExitOutcome, fault, interruptible, open_database, print, progress_bar};
use crate::{
    audit::{chain, store, types::AuditLog},
    config::Config,
    database::Database,
    values::Tenant,
};

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Verify the hash chains; exit code 1 if an entry was changed, removed or inserted
    Verify,
    /// Print all entries as JSON Lines, oldest first
    Export {
        /// Only entries of this tenant
        #[arg(long)]
        tenant: Option<String>,
    },
}

pub(super) async fn run(config: Config, task: Task) -> ExitOutcome {
    let database = open_database(&config).await?;
    let outcome = match task {
        Task::Verify => interruptible(verify(&database), "nothing was verified to its end: run it again").await,
        Task::Export { tenant } => export(&database, tenant).await,
    };
    database.close().await?;
    outcome
}

async fn verify(database: &Database) -> ExitOutcome {
    let mut faults = 0;
    let bar = progress_bar(chain::length(database).await.map_err(fault)?, "entries")?;
    let verdicts = chain::verify_with(database, &|entries| bar.inc(entries)).await;
    bar.finish_and_clear();
    for verdict in verdicts.map_err(fault)? {
        let (number, hash) = &verdict.head;
        print(&format!(
            "{}: {} entries verified, {} not chained yet, head {number} {hash}",
            verdict.tenant, verdict.verified, verdict.waiting
        ))?;
        for fault in &verdict.faults {
            print(&format!("{}: {fault}", verdict.tenant))?;
        }
        faults += verdict.faults.len();
    }
    if faults == 0 { Ok(()) } else { Err(format!("{faults} faults in the audit trail").into()) }
}

async fn export(database: &Database, tenant: Option<String>) -> ExitOutcome {
    let tenants = match tenant {
        Some(name) => vec![Tenant::parse(&name).ok_or_else(|| format!("--tenant {}", Tenant::EXPECTED))?],
        None => store::tenants(database).await.map_err(fault)?,
    };
    // A terminal that shows the entries shows by them how far it is.
    let bar = match io::stdout().is_terminal() {
        true => ProgressBar::hidden(),
        false => ProgressBar::new_spinner(),
    };
    let bar = bar.with_style(ProgressStyle::with_template("{spinner} {pos} entries, of {msg} now")?);
    let mut out = io::BufWriter::new(io::stdout().lock());
    for tenant in tenants {
        bar.set_message(tenant.as_str().to_owned());
        let mut last = None;
        loop {
            let entries = store::after(&database.read(), &tenant, last).await.map_err(fault)?;
            let Some(newest) = entries.last() else { break };
            last = Some((newest.entry.occurred_at, newest.entry.audit_log_id));
            bar.inc(entries.len() as u64);
            for entry in entries {
                serde_json::to_writer(&mut out, &AuditLog::from_row(entry).map_err(fault)?)?;
                writeln!(out)?;
            }
        }
    }
    bar.finish_and_clear();
    Ok(out.flush()?)
}
