//! Removes what is deleted, so slowly that others hardly notice.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{
    adapters::POLL,
    steps::{FINISH, LEFT_TO_OTHERS},
    supervisor::{OnStop, Task},
};
use crate::{
    app::App,
    change::{Changes, DELETIONS, Deletion, RemovalStep},
    error::{Error, Result},
    telemetry::metrics::Metrics,
};

/// Maximum number of rows per step.
const ROWS: u64 = 20;
/// The pause before a removal is tried again that failed.
const RETRY: Duration = Duration::from_secs(5);

/// Removes what is deleted, a step of each deletion in turn.
pub(super) struct RemoveDeleted {
    changes: Changes,
    metrics: Arc<Metrics>,
    /// Of a turn that is not over: the last deletion, whose followers come next.
    after: Option<Deletion>,
    /// Whether a step of this turn removed anything.
    removed: bool,
    /// How a step of this turn failed.
    failure: Option<Error>,
    pause: Pause,
}

/// How the removal pauses.
enum Pause {
    /// It leaves the database to others, given how long it took itself.
    Busy(Duration),
    /// It waits for a deletion, or for this long.
    Idle(Duration),
}

impl RemoveDeleted {
    pub fn new(app: &App) -> Self {
        let (changes, metrics) = (app.changes().clone(), Arc::clone(app.metrics()));
        Self { changes, metrics, after: None, removed: false, failure: None, pause: Pause::Idle(POLL) }
    }
}

impl Task for RemoveDeleted {
    const ON_STOP: OnStop = OnStop::FinishWithin(FINISH);

    fn name(&self) -> &'static str {
        "remove_deleted"
    }

    async fn step(&mut self) -> Result<()> {
        let started = Instant::now();
        self.pause = Pause::Idle(RETRY);
        let is_first = self.after.is_none();
        let deletions = self.changes.deletions(self.after.as_ref()).await?;
        if is_first {
            self.metrics.upkeep.deletions_pending.set(deletions.len() as i64);
        }
        let is_last = (deletions.len() as u64) < DELETIONS;
        self.after = if is_last { None } else { deletions.last().cloned() };
        for deletion in deletions {
            // One that fails must not keep the others.
            match self.changes.remove(deletion, ROWS).await {
                Ok(RemovalStep::Removed | RemovalStep::Done) => self.removed = true,
                Ok(RemovalStep::Waiting | RemovalStep::Elsewhere) => {}
                Err(error) => self.failure = Some(error),
            }
        }
        if !is_last {
            self.pause = Pause::Busy(started.elapsed());
            return Ok(());
        }
        let (removed, failure) = (std::mem::take(&mut self.removed), self.failure.take());
        if removed {
            self.pause = Pause::Busy(started.elapsed());
        } else if failure.is_none() {
            self.pause = Pause::Idle(POLL);
        }
        failure.map_or(Ok(()), Err)
    }

    async fn pause(&mut self) {
        match self.pause {
            Pause::Busy(elapsed) => sleep(elapsed * LEFT_TO_OTHERS).await,
            Pause::Idle(longest) => {
                let _woken_or_in_vain = timeout(longest, self.changes.deleted.notified()).await;
            }
        }
    }

    fn report(&self, error: &Error) {
        let cause = error.cause().or(error.details()).unwrap_or_default();
        tracing::error!(cause, "what is deleted cannot be removed");
    }
}
