//! `crm audit verify|export`: the audit trail, for auditors.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::context::{ExitOutcome, fault, open_database, print, progress_bar, until_signalled};
use crate::{
    audit::{
        chain::{self, Reached},
        store,
        types::AuditLog,
    },
    config::Config,
    database::Database,
    error::ErrorKind,
    values::Tenant,
};

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Verify the hash chains; exit code 1 if an entry was changed, removed or inserted. If interrupted, it says how to go on
    Verify {
        /// Go on behind this entry, which an interrupted run has named
        #[arg(long, value_name = "TENANT/NUMBER/HASH", value_parser = reached)]
        from: Option<Reached>,
    },
    /// Print all entries as JSON Lines, oldest first. If interrupted, it says how to go on
    Export {
        /// Only entries of this tenant
        #[arg(long)]
        tenant: Option<String>,
        /// Go on behind this entry, the last one that was printed: its tenantId, occurredAt and auditLogId
        #[arg(long, value_name = "TENANT/TIME/ENTRY", value_parser = place)]
        after: Option<Place>,
    },
}

pub(super) async fn run(config: Config, task: Task) -> ExitOutcome {
    let database = open_database(&config).await?;
    let outcome = match task {
        Task::Verify { from } => verify(&database, from.as_ref()).await,
        Task::Export { tenant, after } => export(&database, tenant, after).await,
    };
    database.close().await?;
    outcome
}

/// The last of the entries that were printed.
#[derive(Debug, Clone)]
pub(super) struct Place {
    tenant: String,
    at: DateTime<Utc>,
    entry: Uuid,
}

fn reached(text: &str) -> Result<Reached, String> {
    let mut parts = text.rsplitn(3, '/');
    let (hash, number, tenant) = (parts.next(), parts.next().and_then(|number| number.parse().ok()), parts.next());
    match (tenant, number, hash) {
        (Some(tenant), Some(number), Some(hash)) => {
            Ok(Reached { tenant: tenant.to_owned(), number, hash: hash.to_owned() })
        }
        _ => Err("must be TENANT/NUMBER/HASH, as an interrupted run has named it".to_owned()),
    }
}

fn place(text: &str) -> Result<Place, String> {
    let mut parts = text.rsplitn(3, '/');
    let entry = parts.next().and_then(|entry| entry.parse().ok());
    let at = parts.next().and_then(|at| DateTime::parse_from_rfc3339(at).ok());
    match (parts.next(), at, entry) {
        (Some(tenant), Some(at), Some(entry)) => Ok(Place { tenant: tenant.to_owned(), at: at.to_utc(), entry }),
        _ => Err("must be TENANT/TIME/ENTRY, such as acme/2026-01-31T09:30:00.125Z/ and the id of an entry".to_owned()),
    }
}

async fn verify(database: &Database, from: Option<&Reached>) -> ExitOutcome {
    let mut faults = 0;
    let bar = progress_bar(chain::length(database).await.map_err(fault)?, "entries")?;
    let (stop, progress) = (CancellationToken::new(), |entries| bar.inc(entries));
    let verified = until_signalled(&stop, chain::verify_from(database, from, &progress, &stop)).await?;
    bar.finish_and_clear();
    let (verdicts, reached) = verified.map_err(|error| match error.kind() {
        ErrorKind::Invalid => format!("--from: {}", error.details().unwrap_or_default()),
        _ => fault(error),
    })?;
    for verdict in verdicts {
        let (number, hash) = &verdict.head;
        let is_whole = reached.as_ref().is_none_or(|reached| reached.tenant != verdict.tenant);
        print(&match is_whole {
            true => format!(
                "{}: {} entries verified, {} not chained yet, head {number} {hash}",
                verdict.tenant, verdict.verified, verdict.waiting
            ),
            false => format!("{}: {} entries verified, up to number {number}", verdict.tenant, verdict.verified),
        })?;
        for fault in &verdict.faults {
            print(&format!("{}: {fault}", verdict.tenant))?;
        }
        faults += verdict.faults.len();
    }
    match reached {
        Some(Reached { tenant, number, hash }) => Err(format!(
            "interrupted, with {faults} faults so far; go on with: crm audit verify --from {tenant}/{number}/{hash}"
        )
        .into()),
        None if faults == 0 => Ok(()),
        None => Err(format!("{faults} faults in the audit trail").into()),
    }
}

async fn export(database: &Database, tenant: Option<String>, after: Option<Place>) -> ExitOutcome {
    let tenants = match &tenant {
        Some(name) => vec![Tenant::parse(name).ok_or_else(|| format!("--tenant {}", Tenant::EXPECTED))?],
        None => store::tenants(database).await.map_err(fault)?,
    };
    let is_first = |tenant: &Tenant| after.as_ref().is_none_or(|after| after.tenant == tenant.as_str());
    if after.is_some() && !tenants.iter().any(is_first) {
        return Err("--after: there is nothing of this tenant".into());
    }
    let tenants: Vec<Tenant> = tenants.iter().skip_while(|tenant| !is_first(tenant)).cloned().collect();
    let stop = CancellationToken::new();
    match until_signalled(&stop, write(database, &tenants, after, &stop)).await?? {
        None => Ok(()),
        Some(Place { tenant: of, at, entry }) => {
            let only = tenant.map(|tenant| format!(" --tenant {tenant}")).unwrap_or_default();
            let (at, entry) = (at.to_rfc3339_opts(SecondsFormat::Millis, true), entry.as_hyphenated());
            Err(format!("interrupted; go on with: crm audit export{only} --after {of}/{at}/{entry}").into())
        }
    }
}

/// Prints the entries of these tenants, of the first behind that place. Stopped, it ends with a whole line, and says with which.
async fn write(
    database: &Database,
    tenants: &[Tenant],
    after: Option<Place>,
    stop: &CancellationToken,
) -> Result<Option<Place>, Box<dyn Error + Send + Sync>> {
    // A terminal that shows the entries shows by them how far it is.
    let bar = match io::stdout().is_terminal() {
        true => ProgressBar::hidden(),
        false => ProgressBar::new_spinner(),
    };
    let bar = bar.with_style(ProgressStyle::with_template("{spinner} {pos} entries, of {msg} now")?);
    let mut out = io::BufWriter::new(io::stdout());
    let mut printed = after;
    for tenant in tenants {
        bar.set_message(tenant.as_str().to_owned());
        let of_this = |place: &&Place| place.tenant == tenant.as_str();
        let mut last = printed.as_ref().filter(of_this).map(|place| (place.at, place.entry));
        loop {
            if stop.is_cancelled() && printed.is_some() {
                out.flush()?;
                return Ok(printed);
            }
            let entries = store::after(&database.read(), tenant, last).await.map_err(fault)?;
            let Some(newest) = entries.last() else { break };
            let (at, entry) = (newest.entry.occurred_at, newest.entry.audit_log_id);
            last = Some((at, entry));
            bar.inc(entries.len() as u64);
            for entry in entries {
                serde_json::to_writer(&mut out, &AuditLog::from_row(entry).map_err(fault)?)?;
                writeln!(out)?;
            }
            printed = Some(Place { tenant: tenant.as_str().to_owned(), at, entry });
        }
    }
    bar.finish_and_clear();
    out.flush()?;
    Ok(None)
}
