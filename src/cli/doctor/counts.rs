//! `crm doctor counts`: whether what the service keeps of its data is right, for operators.

use clap::Args;
use indicatif::ProgressBar;

use crate::{
    cli::context::{ExitOutcome, fault, print},
    database::{
        Database,
        counts::{
            COUNTERS, Counter,
            check::{DIFFERENCES, Difference, differences, mend, next_tenant},
        },
        pipeline::check as pipeline,
    },
    values::Tenant,
};

#[derive(Debug, Args)]
pub(super) struct CountsArgs {
    /// Correct the totals that are wrong
    #[arg(long)]
    pub mend: bool,
}

/// Compares all totals with counting, says which are wrong, and corrects those, if it is to.
pub(in crate::cli) async fn counts(database: &Database, mend: bool) -> ExitOutcome {
    let (tenants, wrong) = compare(database, mend).await?;
    let of = format!("of the lists of {tenants} tenants");
    match (wrong, mend) {
        (0, _) => Ok(print(&format!("the totals {of} are right"))?),
        (_, true) => Ok(print(&format!("{wrong} totals {of} were wrong and are mended"))?),
        (_, false) => Err(format!("{wrong} totals {of} are wrong: `crm doctor counts --mend` corrects them").into()),
    }
}

/// Compares all totals with counting; returns of how many tenants, and how many are wrong.
pub(super) async fn compare(
    database: &Database,
    is_mending: bool,
) -> Result<(u64, u64), Box<dyn std::error::Error + Send + Sync>> {
    let bar = ProgressBar::new_spinner();
    let (mut tenants, mut wrong, mut last) = (0_u64, 0, None);
    while let Some(tenant) = next_tenant(database, last.as_ref()).await.map_err(fault)? {
        bar.set_message(format!("counting the lists of {}", tenant.as_str()));
        for counter in COUNTERS {
            bar.tick();
            wrong += list(database, &tenant, counter, is_mending).await?;
        }
        tenants += 1;
        last = Some(tenant);
    }
    bar.set_message("counting pipelines");
    wrong += totals_of_pipelines(database, is_mending).await?;
    bar.finish_and_clear();
    Ok((tenants, wrong))
}

/// Compares the counters of one list; returns how many are wrong.
async fn list(
    database: &Database,
    tenant: &Tenant,
    counter: Counter,
    is_mending: bool,
) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    let (mut wrong, mut last) = (0, None);
    loop {
        let found = differences(database, tenant, counter, last).await.map_err(fault)?;
        for difference in &found {
            print(&describe(difference))?;
            if is_mending {
                mend(database, difference).await.map_err(fault)?;
            }
        }
        wrong += found.len() as u64;
        last = found.last().and_then(|difference| difference.owner);
        if found.len() < DIFFERENCES {
            return Ok(wrong);
        }
    }
}

/// Compares the totals of the pipeline; returns how many are wrong.
async fn totals_of_pipelines(
    database: &Database,
    is_mending: bool,
) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    let (mut wrong, mut last) = (0, None);
    while let Some(tenant) = pipeline::next_tenant(database, last.as_ref()).await.map_err(fault)? {
        loop {
            let found = pipeline::differences(database, &tenant).await.map_err(fault)?;
            for difference in &found {
                print(&describe_pipeline(difference))?;
                if is_mending {
                    pipeline::mend(database, difference).await.map_err(fault)?;
                }
            }
            wrong += found.len() as u64;
            // What is not mended would be found again.
            if found.len() < pipeline::DIFFERENCES || !is_mending {
                break;
            }
        }
        last = Some(tenant);
    }
    Ok(wrong)
}

fn describe_pipeline(difference: &pipeline::Difference) -> String {
    let pipeline::Difference { tenant, owner, measure, day, currency, stages: (stage, next_stage), excess } =
        difference;
    let [count, high, low, ..] = *excess;
    let amount = (i128::from(high) << 32) + i128::from(low);
    format!(
        "tenant {}, pipeline of {owner}, {measure} {currency} day {day} stages {stage} {next_stage}: the total is kept as {count} \
         and an amount of {amount} more than counting says",
        tenant.as_str()
    )
}

fn describe(Difference { tenant, counter, owner, kept, counted }: &Difference) -> String {
    let owner = owner.map(|owner| format!(" {owner}")).unwrap_or_default();
    format!(
        "tenant {}, {}{owner}: the total is kept as {kept}, and counting says {counted}",
        tenant.as_str(),
        counter.list
    )
}
