//! Goes on with erasures, so slowly that others hardly notice.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    adapters::POLL,
    steps::{FINISH, LEFT_TO_OTHERS},
    supervisor::{OnStop, Task},
};
use crate::{
    app::App,
    change::Changes,
    error::{Error, Result},
    privacy::{self, ErasureStep, LogEmptying},
    telemetry::metrics::Metrics,
};

/// The pause before an erasure is tried again that failed.
const RETRY: Duration = Duration::from_secs(5);

/// Takes a step of each erasure that is under way, in turn.
pub(super) struct Erase {
    changes: Changes,
    metrics: Arc<Metrics>,
    pause: Duration,
    log: LogEmptying,
}

impl Erase {
    pub fn new(app: &App) -> Self {
        let (changes, metrics) = (app.changes().clone(), Arc::clone(app.metrics()));
        Self { changes, metrics, pause: POLL, log: LogEmptying::default() }
    }
}

impl Task for Erase {
    const ON_STOP: OnStop = OnStop::FinishWithin(FINISH);

    fn name(&self) -> &'static str {
        "erase"
    }

    async fn step(&mut self) -> Result<()> {
        self.pause = RETRY;
        let (mut after, mut pending, mut moves, mut failure) = (None, 0, false, None);
        let started = Instant::now();
        loop {
            let erasures = privacy::pending(&self.changes, after.as_ref(), &mut self.log).await?;
            pending += erasures.len();
            self.metrics.upkeep.erasures_pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
            for erasure in &erasures {
                // One that fails must not keep the others.
                match privacy::run(&self.changes, erasure, &mut self.log).await {
                    Ok(ErasureStep::Erased | ErasureStep::Done) => moves = true,
                    Ok(ErasureStep::Waiting | ErasureStep::Elsewhere) => {}
                    Err(error) => failure = Some(error),
                }
            }
            if (erasures.len() as u64) < privacy::PENDING {
                break;
            }
            after = erasures.into_iter().next_back();
        }
        if moves {
            self.pause = started.elapsed() * LEFT_TO_OTHERS;
        } else if failure.is_none() {
            self.pause = POLL;
        }
        failure.map_or(Ok(()), Err)
    }

    async fn pause(&mut self) {
        sleep(self.pause).await;
    }

    fn report(&self, error: &Error) {
        tracing::error!(cause = error.cause().unwrap_or_default(), "an erasure cannot go on");
    }
}
