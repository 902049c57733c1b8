//! `crm outbox status|retry`: the events that are to be published, for operators.

use clap::Subcommand;
use uuid::Uuid;

use super::{Outcome, check_schema, fault, open, print};
use crate::{
    app::App,
    config::Config,
    database,
    events::relay::{self, Aside, Standing},
};

/// How many events that are set aside are listed.
const LISTED: u64 = 100;

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Show how far publishing came, and what is set aside
    Status,
    /// Let the events that are set aside be sent again
    Retry {
        /// Only the one with this id
        event: Option<Uuid>,
    },
}

pub(super) async fn run(config: Config, task: Task) -> Outcome {
    check_schema(&config).await?;
    let app = open(config, database::COMMAND).await?;
    let outcome = match task {
        Task::Status => status(&app).await,
        Task::Retry { event } => retry(&app, event).await,
    };
    app.database().close().await?;
    outcome
}

async fn status(app: &App) -> Outcome {
    let Standing { head, position, held, aside, .. } = relay::standing(app).await.map_err(fault)?;
    print(&format!("position {position} of {head}: {} events wait", head - position))?;
    print(&format!("{held} events are held: refused by the broker, or behind a refused one of the same resource"))?;
    print(&format!("{aside} events are set aside: refused {} times", relay::TRIES))?;
    for Aside { event_id, event_type, tenant_id, aggregate_id, reason } in
        relay::aside(app, LISTED).await.map_err(fault)?
    {
        let reason = reason.unwrap_or_default();
        print(&format!("{event_id} {event_type} of {aggregate_id} of tenant {tenant_id}: {reason}"))?;
    }
    Ok(())
}

async fn retry(app: &App, event: Option<Uuid>) -> Outcome {
    match (relay::retry(app, event).await.map_err(fault)?, event) {
        (0, Some(id)) => Err(format!("the event {id} is not set aside").into()),
        (count, _) => Ok(print(&format!("{count} events are sent again"))?),
    }
}
