//! `crm inbound dead list|retry|drop`: events of the platform that could not be applied, for operators.

use std::sync::Arc;

use clap::{Args, Subcommand};

use super::context::{ExitOutcome, print};
use crate::{
    broker::{self, Broker, DEAD_LETTERS, DeadLetter, DeadLetterAction, Down, INBOUND},
    config::Config,
    inbound::DeadLetterSummary,
};

/// Maximum number of dead letters to list.
const LISTED: u64 = 100;

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Manage dead letters: events that could not be applied
    #[command(subcommand)]
    Dead(DeadTask),
}

#[derive(Debug, Subcommand)]
pub(super) enum DeadTask {
    /// Show the oldest hundred dead letters, without what they say
    List,
    /// Have dead letters consumed again, as if they were new
    Retry(Chosen),
    /// Delete dead letters
    Drop(Chosen),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Chosen {
    /// Only those with this event id
    event: Option<String>,
    /// All there are, also those whose event id cannot be read
    #[arg(long)]
    all: bool,
}

impl Chosen {
    fn includes(&self, letter: &DeadLetter) -> bool {
        self.all || DeadLetterSummary::of(letter).event_id == self.event
    }
}

pub(super) async fn run(config: Config, task: Task) -> ExitOutcome {
    let Some(url) = config.events_url else {
        return Err("CRM_EVENTS_URL: is needed, it names the broker".into());
    };
    let broker = broker::connect(&url);
    let Task::Dead(task) = task;
    match task {
        DeadTask::List => list(&broker).await,
        DeadTask::Retry(chosen) => retry(&broker, &chosen).await,
        DeadTask::Drop(chosen) => delete(&broker, &chosen).await,
    }
}

async fn list(broker: &Arc<dyn Broker>) -> ExitOutcome {
    let mut lines = Vec::new();
    let mut show = |letter: &DeadLetter| {
        lines.push(line(&DeadLetterSummary::of(letter)));
        true
    };
    let total = broker.dead_letters(DeadLetterAction::List, LISTED, &mut show).await.map_err(failed)?;
    print(&format!("{total} dead letters in {DEAD_LETTERS}"))?;
    for line in &lines {
        print(line)?;
    }
    if total > LISTED {
        print(&format!("and {} more", total - LISTED))?;
    }
    Ok(())
}

/// What cannot be read is a dash.
fn line(summary: &DeadLetterSummary) -> String {
    let DeadLetterSummary { event_id, event_type, sender, reason, since, size } = summary;
    let [event_id, event_type, sender, since] =
        [event_id, event_type, sender, since].map(|text| text.as_deref().unwrap_or("-"));
    format!("{event_id} {event_type} of {sender}, {size} bytes, since {since}: {reason}")
}

async fn retry(broker: &Arc<dyn Broker>, chosen: &Chosen) -> ExitOutcome {
    let count = apply(broker, DeadLetterAction::Retry, chosen).await?;
    Ok(print(&format!("{count} events are put back into {INBOUND}, to be consumed again"))?)
}

async fn delete(broker: &Arc<dyn Broker>, chosen: &Chosen) -> ExitOutcome {
    let count = apply(broker, DeadLetterAction::Delete, chosen).await?;
    Ok(print(&format!("{count} dead letters are deleted"))?)
}

/// Does this to all that are chosen, and returns how many that were.
async fn apply(broker: &Arc<dyn Broker>, action: DeadLetterAction, chosen: &Chosen) -> Result<u64, String> {
    let mut count = 0;
    let mut choose = |letter: &DeadLetter| {
        let includes = chosen.includes(letter);
        count += u64::from(includes);
        includes
    };
    broker.dead_letters(action, u64::MAX, &mut choose).await.map_err(failed)?;
    match (count, &chosen.event) {
        (0, Some(id)) => Err(format!("no dead letter has the event id {id}")),
        _ => Ok(count),
    }
}

fn failed(Down(reason): Down) -> String {
    format!("the broker: {reason}; what was not dealt with is still a dead letter")
}
