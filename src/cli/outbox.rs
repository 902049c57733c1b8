//! `crm outbox status|retry|replay`: events on their way to the broker, for operators.

use clap::Subcommand;
use uuid::Uuid;

use super::{
    context::{ExitOutcome, check_schema, fault, open, print},
    replay::{self, ReplayArgs},
};
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
    /// Send published events again, for a consumer that comes later
    Replay(ReplayArgs),
}

pub(super) async fn run(config: Config, task: Task) -> ExitOutcome {
    match task {
        Task::Status => {
            let has_broker = config.events_url.is_some();
            on_database(config, async |database| status(database, has_broker).await).await
        }
        Task::Retry { event } => on_database(config, async |database| retry(database, event).await).await,
        Task::Replay(args) => replay::run(&config, args).await,
    }
}

async fn on_database(config: Config, work: impl AsyncFnOnce(&Database) -> ExitOutcome) -> ExitOutcome {
    check_schema(&config).await?;
    let app = open(config, database::COMMAND).await?;
    let outcome = work(app.database()).await;
    app.database().close().await?;
    outcome
}

async fn status(database: &Database, has_broker: bool) -> ExitOutcome {
    let RelayStatus { head, position, blocked, parked, .. } = relay::status(database).await.map_err(fault)?;
    let waiting = head - position;
    if has_broker {
        print(&format!("position {position} of {head}: {waiting} events wait"))?;
    } else {
        print("no broker is configured (CRM_EVENTS_URL): nothing is published, and events are read at GET /events")?;
        print(&format!(
            "position {position} of {head}: a broker would be sent those of the {waiting} that are still kept"
        ))?;
    }
    print(&format!(
        "{blocked} events are blocked: refused by the broker, or behind a refused one of the same resource"
    ))?;
    print(&format!("{parked} events are parked: refused {} times", relay::MAX_ATTEMPTS))?;
    for ParkedEvent { event_id, event_type, tenant_id, aggregate_id, reason } in
        relay::parked(database, LISTED).await.map_err(fault)?
    {
        let [event_id, aggregate_id] = [event_id, aggregate_id].map(|id| readable(id.map(|id| id.to_string())));
        let [event_type, tenant_id] = [event_type, tenant_id].map(readable);
        let reason = reason.unwrap_or_default();
        print(&format!("{event_id} {event_type} of {aggregate_id} of tenant {tenant_id}: {reason}"))?;
    }
    Ok(())
}

fn readable(text: Option<String>) -> String {
    text.unwrap_or_else(|| "(unreadable)".to_owned())
}

async fn retry(database: &Database, event: Option<Uuid>) -> ExitOutcome {
    match (relay::retry(database, event).await.map_err(fault)?, event) {
        (0, Some(id)) => Err(format!("the event {id} is not parked").into()),
        (count, _) => Ok(print(&format!("{count} events are sent again"))?),
    }
}
