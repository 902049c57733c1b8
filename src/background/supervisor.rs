//! The loop that every background task runs in: step, pause, step, until the service stops.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    error::{Error, Result},
    telemetry::metrics::Metrics,
};

/// A background task.
pub(super) trait Task: Send + 'static {
    /// What happens to a step that is under way when the service stops.
    const ON_STOP: OnStop;

    /// Under which name its failures are counted.
    fn name(&self) -> &'static str;

    /// Does what there is to do now.
    fn step(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Waits until the next step is due. Dropped when the service stops.
    fn pause(&mut self) -> impl Future<Output = ()> + Send;

    /// Logs that a step failed. Called once, and not again until a step succeeded.
    fn report(&self, error: &Error);

    /// Cleans up after the last step.
    fn finish(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// What happens to a step that is under way when the service stops.
#[derive(Debug, Clone, Copy)]
pub(super) enum OnStop {
    /// It is finished.
    Finish,
    /// It may go on for this long.
    FinishWithin(Duration),
    /// It is dropped.
    Drop,
}

/// Counts the steps of a task that failed.
type Failures = Counter<u64, AtomicU64>;

/// The running tasks. They are told to stop when it is dropped.
pub(super) struct Supervisor {
    stopping: CancellationToken,
    tasks: TaskTracker,
    metrics: Arc<Metrics>,
}

impl Supervisor {
    /// Without tasks, whose failures will be counted here.
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        Self { stopping: CancellationToken::new(), tasks: TaskTracker::new(), metrics: Arc::clone(metrics) }
    }

    /// Runs a task.
    pub fn spawn(&self, task: impl Task) {
        let failures = self.metrics.upkeep.failures_of(task.name());
        self.tasks.spawn(run(task, self.stopping.clone(), failures));
    }

    /// Stops the tasks and waits for their ends.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

async fn run(mut task: impl Task, stopping: CancellationToken, failures: Failures) {
    let mut works = true;
    while let Some(outcome) = step(&mut task, &stopping).await {
        if let (true, Err(error)) = (works, &outcome) {
            task.report(error);
        }
        works = outcome.is_ok();
        failures.inc_by(u64::from(!works));
        tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            () = task.pause() => {}
        }
    }
    task.finish().await;
}

/// The outcome of a step; none where it was cut short.
async fn step<T: Task>(task: &mut T, stopping: &CancellationToken) -> Option<Result<()>> {
    let step = task.step();
    tokio::pin!(step);
    let grace = match T::ON_STOP {
        OnStop::Finish => return Some(step.await),
        OnStop::FinishWithin(grace) => grace,
        OnStop::Drop => Duration::ZERO,
    };
    tokio::select! {
        outcome = &mut step => Some(outcome),
        () = stopping.cancelled() => {
            if !grace.is_zero() {
                let _finished_or_cut_short = tokio::time::timeout(grace, step).await;
            }
            None
        }
    }
}
