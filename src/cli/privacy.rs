//! `crm privacy erase|clean`: erasing personal data, for operators, while the service runs or not.

use std::{
    fmt,
    io::{IsTerminal, stdin},
    time::Duration,
};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::sleep;

use super::context::{ExitOutcome, check_schema, fault, interruptible, open, print};
use crate::{
    app::App,
    config::{Config, DatabaseUrl},
    database,
    privacy::{self, tenant, types::Erasure},
    values::{Id, Tenant},
};

/// How often the log is tried to be emptied, and the pause in between.
const LOG_ATTEMPTS: u32 = 100;
const LOG_PAUSE: Duration = Duration::from_millis(100);

/// What to do after an interruption.
const GO_ON: &str = "what is erased stays so: run it again to go on with the rest";

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Erase the personal data of a customer, also of one that is deleted, or all that is kept of a tenant
    Erase(EraseArgs),
    /// Remove from the database's files what changed and deleted rows left behind (VACUUM)
    Clean,
}

#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    /// The tenant
    #[arg(long)]
    tenant: String,
    /// The id of the customer
    #[arg(long, required_unless_present = "all", conflicts_with = "all")]
    customer: Option<String>,
    /// Erase the texts of the customer's follow-ups too
    #[arg(long, requires = "customer")]
    follow_ups: bool,
    /// Delete all that is kept of the tenant, except its audit trail. On a terminal the tenant's name is asked for first
    #[arg(long)]
    all: bool,
    /// Do not ask
    #[arg(long, requires = "all")]
    yes: bool,
}

pub(super) async fn run(config: Config, task: Task) -> ExitOutcome {
    check_schema(&config).await?;
    match task {
        Task::Clean => {
            let cleaning = async {
                database::clean(&config.database_url).await?;
                Ok(print("the database is cleaned")?)
            };
            interruptible(cleaning, "the database is as it was").await
        }
        Task::Erase(args) => erase(config, args).await,
    }
}

async fn erase(config: Config, args: EraseArgs) -> ExitOutcome {
    let tenant = Tenant::parse(&args.tenant).ok_or_else(|| format!("--tenant {}", Tenant::EXPECTED))?;
    let customer = args.customer.as_deref().map(|id| Id::parse(id).ok_or("--customer must be the id of a customer"));
    let customer = customer.transpose()?;
    let url = config.database_url.clone();
    let is_sqlite = matches!(url, DatabaseUrl::Sqlite(_));
    let app = open(config, database::COMMAND).await?;
    let outcome = match customer {
        Some(customer) => interruptible(erase_customer(&app, &tenant, customer, args.follow_ups), GO_ON).await,
        None => erase_tenant(&app, &tenant, args.yes).await,
    };
    let emptied = empty_log(&app).await;
    app.database().close().await?;
    let line = outcome?;
    match is_sqlite {
        // What is erased is overwritten at once.
        true => emptied?,
        false => database::clean(&url).await?,
    }
    Ok(print(&line)?)
}

/// Readers of a running service may be in the way for a moment.
async fn empty_log(app: &App) -> ExitOutcome {
    for _ in 0..LOG_ATTEMPTS {
        if app.database().empty_log().await.map_err(fault)? {
            return Ok(());
        }
        sleep(LOG_PAUSE).await;
    }
    Err("all is erased, but readers kept the write-ahead log from being emptied: run `crm privacy clean`".into())
}

async fn erase_customer(
    app: &App,
    tenant: &Tenant,
    Id(customer): Id,
    follow_ups: bool,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let bar = ProgressBar::new_spinner();
    let progress = |erasure: &Erasure| bar.set_message(Counts(erasure).to_string());
    let erasure = privacy::erase_by_operator(app, tenant, customer, follow_ups, &progress).await;
    bar.finish_and_clear();
    let erasure = erasure.map_err(fault)?;
    Ok(format!("erasure {}: {}", erasure.erasure_id.0, Counts(&erasure)))
}

async fn erase_tenant(
    app: &App,
    tenant: &Tenant,
    is_confirmed: bool,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let rows = tenant::count(app.database(), tenant).await.map_err(fault)?;
    print(&format!(
        "all that is kept of the tenant {} is going to be deleted: {rows} rows of resources, events, accepted requests and \
         certificates; its audit trail stays",
        tenant.as_str()
    ))?;
    if !is_confirmed && stdin().is_terminal() {
        confirm(tenant).await?;
    }
    let bar = ProgressBar::new(rows);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos} of {len} rows, {eta} left")?);
    let progress = |rows| bar.set_position(rows);
    let erasing = async { Ok(tenant::erase(app, tenant, &progress).await.map_err(fault)?) };
    let erased = interruptible(erasing, GO_ON).await;
    bar.finish_and_clear();
    match erased? {
        (rows, 0) => Ok(format!("{rows} rows are deleted; the audit trail stays until it is past its time")),
        (rows, left) => Err(format!(
            "{rows} rows are deleted, but {left} were written in the meantime: let nobody write for this tenant, and run it again"
        )
        .into()),
    }
}

/// Has the operator type the tenant's name.
async fn confirm(tenant: &Tenant) -> ExitOutcome {
    print("this cannot be undone; type the tenant's name to go on:")?;
    let typed = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        stdin().read_line(&mut line).map(|_| line)
    });
    match typed.await??.trim() == tenant.as_str() {
        true => Ok(()),
        false => Err("that is not the tenant's name: nothing is deleted".into()),
    }
}

/// What was erased, for the operator.
struct Counts<'e>(&'e Erasure);

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.0.counts;
        let numbers = [&counts.customers, &counts.contacts, &counts.follow_ups, &counts.events].map(|count| count.0);
        let [customers, contacts, follow_ups, events] = numbers;
        write!(
            f,
            "{customers} customers, {contacts} contacts, {follow_ups} follow-ups and {events} events held personal data"
        )
    }
}
