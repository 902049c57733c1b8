//! Fills a database by the service itself: each step of the history is a request to it, at its time.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use chrono::DateTime;

use super::{
    history::{Action, history, times},
    writer::{Outcome, Writer, fault},
};
use crate::{
    app::App,
    audit::{AuditQueue, chain},
    config::DemoConfig,
    database::{self, horizon, migrate},
    service::{resources::removals, service},
    values::{Clock, IdSource, ManualClock, Timestamp},
};

/// A tenant, and how many customers it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilledTenant {
    /// The tenant's name.
    pub name: String,
    /// Its customers.
    pub customers: usize,
}

/// Makes the database of the demo, as if its customers had been looked after until `now`.
///
/// # Errors
/// A database that cannot be made, or a request that was refused.
pub async fn fill(demo: &DemoConfig, now: Timestamp) -> Outcome<Vec<FilledTenant>> {
    let config = &demo.config;
    migrate::up_to_date(config.schema_url(), config.database_wait).await?;
    let steps = history()?;
    let times = times(&steps, now.0);
    let clock = ManualClock::default();
    clock.now.store(times.first().map_or(0, DateTime::timestamp_millis), Ordering::SeqCst);
    let (reads, ids) = (Clock::Manual(clock.clone()), IdSource::random(Clock::Manual(clock.clone())));
    let app = App::open(config.clone(), (reads, ids), AuditQueue::default(), removals(), database::COMMAND).await?;

    let service = service(&app);
    let mut writer = Writer::new(&app, &service, &demo.token_secret, "crm-demo");
    let mut customers: BTreeMap<String, usize> = BTreeMap::new();
    for (step, time) in steps.into_iter().zip(times) {
        if matches!(step.action, Action::Create { collection: "/customers", .. }) {
            *customers.entry(step.tenant.clone()).or_default() += 1;
        }
        clock.now.store(time.timestamp_millis(), Ordering::SeqCst);
        writer.take(step, time, app.new_id().to_string()).await?;
    }
    chain::link_entries(app.database()).await.map_err(fault)?;
    // Otherwise the retention would take the days since the last step for a clock that was set forward.
    horizon::confirm(app.database(), now.0).await.map_err(fault)?;
    app.database().close().await?;
    Ok(customers.into_iter().map(|(name, customers)| FilledTenant { name, customers }).collect())
}
