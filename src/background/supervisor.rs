//! The loop that every background task runs in: step, pause, step, until the service stops.

use std::time::Duration;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::error::{Error, Result};

/// A background task.
pub(super) trait Task: Send + 'static {
    /// What happens to a step that is under way when the service stops.
    const ON_STOP: OnStop;

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

/// The running tasks. They are told to stop when it is dropped.
#[derive(Default)]
pub(super) struct Supervisor {
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Supervisor {
    /// Runs a task.
    pub fn spawn(&self, task: impl Task) {
        self.tasks.spawn(run(task, self.stopping.clone()));
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

async fn run(mut task: impl Task, stopping: CancellationToken) {
    let mut works = true;
    while let Some(outcome) = step(&mut task, &stopping).await {
        if let (true, Err(error)) = (works, &outcome) {
            task.report(error);
        }
        works = outcome.is_ok();
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
