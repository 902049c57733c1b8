//! `crm seed`: invented customers in the configured database, for trying out how the service does with many.

use clap::{Args, value_parser};
use tokio_util::sync::CancellationToken;

use super::context::{ExitOutcome, check_schema, open, print, progress_bar, until_signalled};
use crate::{
    config::{Config, Masked, Secret},
    database,
    demo::seed,
    values::Tenant,
};

#[derive(Debug, Args)]
#[command(
    after_help = "Each customer has contacts, opportunities and follow-ups, about ten requests in all, with audit entries and \
                        events like any other. Interrupted, or with a larger number, run it again: it goes on where it was. \
                        `crm privacy erase --all --tenant T` deletes all of a tenant."
)]
pub(super) struct SeedArgs {
    /// How many customers there are to be; those of earlier runs for the same tenant count
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=10_000_000))]
    customers: u32,
    /// The tenant; that of CRM_DEFAULT_TENANT where none is named
    #[arg(long)]
    tenant: Option<String>,
}

pub(super) async fn run(config: Config, args: SeedArgs) -> ExitOutcome {
    let tenant = match &args.tenant {
        Some(name) => Tenant::parse(name).ok_or_else(|| format!("--tenant {}", Tenant::EXPECTED))?,
        None => config.default_tenant.clone(),
    };
    check_schema(&config).await?;
    let (name, into) = (tenant.as_str(), config.database_url.masked());
    print(&format!("writing customers of the tenant {name} into {into}"))?;
    let secret = Secret::generate()?;
    let app = open(config.for_own_requests(secret.clone()), database::COMMAND).await?;
    let bar = progress_bar(args.customers.into(), "customers")?;
    let (stop, progress) = (CancellationToken::new(), |there: u32| bar.set_position(there.into()));
    let seeding = seed(&app, &secret, (&tenant, args.customers), &progress, &stop);
    let written = until_signalled(&stop, seeding).await?;
    bar.finish_and_clear();
    app.database().close().await?;
    app.spans().finish().await;
    match written? {
        written if written < args.customers => {
            Err(format!("interrupted; {written} of {} customers are there: run it again to go on", args.customers)
                .into())
        }
        written => Ok(print(&format!("{written} customers of the tenant {name} are there"))?),
    }
}
