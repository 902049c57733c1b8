//! `crm outbox replay`: sends published events again, while the service runs.

use chrono::{DateTime, Utc};
use clap::{Args, value_parser};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::context::{ExitOutcome, fault, open_database, print, until_signalled};
use crate::{
    broker::{self, Broker},
    config::Config,
    database::Database,
    relay::{self, ReplayFrom, ReplayStop, Selection},
    service::resources::event_types,
    values::Tenant,
};

#[derive(Debug, Clone, Args)]
pub(super) struct ReplayArgs {
    /// From the event at this position on: `crm outbox status` shows how far they go
    #[arg(long, value_name = "POSITION", required_unless_present = "since", conflicts_with = "since",
          value_parser = value_parser!(i64).range(1..))]
    from: Option<i64>,
    /// From this time on, such as 2026-01-31T09:30:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<DateTime<Utc>>,
    /// Only events of these types, separated by commas
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    types: Vec<String>,
    /// Only events of this tenant
    #[arg(long)]
    tenant: Option<String>,
}

pub(super) async fn run(config: &Config, args: ReplayArgs) -> ExitOutcome {
    let Some(url) = &config.events_url else {
        return Err("CRM_EVENTS_URL: is needed, it names the broker".into());
    };
    let selection = selection(&args)?;
    let database = open_database(config).await?;
    let outcome = send(&database, &*broker::connect(url), selection, &args).await;
    database.close().await?;
    outcome
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let time = DateTime::parse_from_rfc3339(text);
    time.map(|time| time.to_utc()).map_err(|_| "must be a time like 2026-01-31T09:30:00Z (RFC 3339)".to_owned())
}

fn selection(args: &ReplayArgs) -> Result<Selection, String> {
    let known = event_types();
    if let Some(unknown) = args.types.iter().find(|name| !known.contains(name)) {
        return Err(format!("--types: {unknown:?} is not published; these are: {}", known.join(", ")));
    }
    let tenant = args.tenant.as_deref().map(|name| Tenant::parse(name).ok_or(format!("--tenant {}", Tenant::EXPECTED)));
    let from = match (args.from, args.since) {
        (Some(position), _) => ReplayFrom::Position(position),
        (None, since) => ReplayFrom::Time(since.unwrap_or_default()),
    };
    Ok(Selection { from, types: args.types.clone(), tenant: tenant.transpose()? })
}

async fn send(database: &Database, broker: &dyn Broker, selection: Selection, args: &ReplayArgs) -> ExitOutcome {
    let plan = relay::plan(database, selection).await.map_err(fault)??;
    let bar = ProgressBar::new(plan.count);
    let style = "{bar:40} {pos} of {len} events, up to position {msg}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style)?);
    let progress = |sent, position: i64| {
        bar.set_message(position.to_string());
        bar.set_position(sent);
    };
    let stop = CancellationToken::new();
    let report = until_signalled(&stop, relay::replay(database, broker, &plan, &progress, &stop)).await?;
    bar.finish_and_clear();
    let report = report.map_err(|error| {
        let reached = bar.message();
        let reached = if reached.is_empty() { "nothing was sent".to_owned() } else { format!("sent up to {reached}") };
        format!("{}: {reached}", fault(error))
    })?;
    print(&format!(
        "{} of {} events were sent again; no queue is bound to {} of them",
        report.sent, plan.count, report.unrouted
    ))?;
    let go_on = |position| format!("go on with: crm outbox replay --from {position}{}", filters(args));
    for (position, reason) in &report.named {
        print(&format!("left out, the event at position {position}: {reason}"))?;
    }
    match report.stopped {
        None if report.left_out > 0 => Err(format!(
            "{} events were left out: those that are damaged or that the broker refused, and what comes after a refused one \
             of the same resource",
            report.left_out
        )
        .into()),
        None => Ok(()),
        Some(ReplayStop::Interrupted(position)) => Err(format!("interrupted; {}", go_on(position)).into()),
        Some(ReplayStop::Down(position, reason)) => {
            Err(format!("the broker is down: {reason}; {}", go_on(position)).into())
        }
        Some(ReplayStop::Deleted(count)) => {
            Err(format!("{count} events were deleted by the retention before they were sent again").into())
        }
    }
}

/// The options that choose among the events, as they were given.
fn filters(args: &ReplayArgs) -> String {
    let types = (!args.types.is_empty()).then(|| format!(" --types {}", args.types.join(",")));
    let tenant = args.tenant.as_ref().map(|tenant| format!(" --tenant {tenant}"));
    types.into_iter().chain(tenant).collect()
}
