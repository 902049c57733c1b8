//! `crm outbox status|retry`: events on their way to the broker, for operators.

use clap::Subcommand;
use uuid::Uuid;

use super::context::{ExitOutcome, check_schema, fault, open, print};
use crate::{
    config::Config,
    database::{self, Database},
    relay::{self, ParkedEvent, RelayStatus},
};

/// Maximum number of parked events to list.
const LISTED: u64 = 100;

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Show the progress of publishing, and the parked events
    Status,
    /// Retry parked events
    Retry {
        /// Only the event with this id
        event: Option<Uuid>,
    },
}

pub(super) async fn run(config: Config, task: Task) -> ExitOutcome {
    check_schema(&config).await?;
    let app = open(config, database::COMMAND).await?;
    let outcome = match task {
        Task::Status => status(app.database()).await,
        Task::Retry { event } => retry(app.database(), event).await,
    };
    app.database().close().await?;
    outcome
}

async fn status(database: &Database) -> ExitOutcome {
    let RelayStatus { head, position, blocked, parked, .. } = relay::status(database).await.map_err(fault)?;
    print(&format!("position {position} of {head}: {} events wait", head - position))?;
    print(&format!(
        "{blocked} events are blocked: refused by the broker, or behind a refused one of the same resource"
    ))?;
    print(&format!("{parked} events are parked: refused {} times", relay::MAX_ATTEMPTS))?;
    for ParkedEvent { event_id, event_type, tenant_id, aggregate_id, reason } in
        relay::parked(database, LISTED).await.map_err(fault)?
    {
        let reason = reason.unwrap_or_default();
        print(&format!("{event_id} {event_type} of {aggregate_id} of tenant {tenant_id}: {reason}"))?;
    }
    Ok(())
}

async fn retry(database: &Database, event: Option<Uuid>) -> ExitOutcome {
    match (relay::retry(database, event).await.map_err(fault)?, event) {
        (0, Some(id)) => Err(format!("the event {id} is not parked").into()),
        (count, _) => Ok(print(&format!("{count} events are sent again"))?),
    }
}
