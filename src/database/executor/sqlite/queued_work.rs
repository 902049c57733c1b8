//! A unit of work that waits for the writer, together with the caller who waits for its outcome.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::DbBackend;
use tokio::{sync::oneshot, time::Instant};

use super::group::Group;
use crate::{
    database::{
        deadline::Deadline,
        executor::unit_of_work::{UnitOfWork, WAIT},
        span::{database_part, not_committed},
    },
    error::{Error, Result},
    telemetry::span::{Parent, Span},
};

/// A unit of work in the queue, of whatever type its outcome is.
pub(super) struct QueuedWork {
    since: Instant,
    run: Run,
}

/// Runs the work in a group, or learns why there is none.
type Run = Box<dyn for<'g> FnOnce(Result<&'g Group>) -> BoxFuture<'g, Reply> + Send + Sync>;

/// Answers the caller, given the outcome of the group's commit.
pub(super) type Reply = Box<dyn FnOnce(Result<()>) + Send>;

impl QueuedWork {
    pub(super) fn new<T: Send + 'static>(
        deadline: Deadline,
        work: impl UnitOfWork<T>,
        sender: oneshot::Sender<Result<T>>,
    ) -> Self {
        let parent = Parent::current();
        let waits = parent.part(WAIT);
        let run: Run = Box::new(move |group| {
            async move {
                drop(waits);
                // Nobody waits any more and nothing has happened yet: leave it so.
                if sender.is_closed() {
                    return Box::new(|_| ()) as Reply;
                }
                let (outcome, mut span) = match group {
                    Ok(group) => {
                        let span = database_part(&parent, "transaction", DbBackend::Sqlite);
                        (span.around(group.run(deadline, &work)).await, span)
                    }
                    Err(error) => (Err(error), Span::nothing()),
                };
                // Of the group, once nothing more is taken into it.
                let commits = database_part(&span.as_parent(), "commit", DbBackend::Sqlite);
                Box::new(move |committed| {
                    drop(commits);
                    let outcome = match (committed, outcome) {
                        (Err(_), Err(fault)) if fault.is_fault() => Err(fault),
                        // A refusal, too, was judged by what the group had written: where that is not committed, neither
                        // holds.
                        (Err(fault), _) => Err(fault),
                        (Ok(()), outcome) => outcome,
                    };
                    if let Err(error) = &outcome {
                        not_committed(&mut span, error);
                    }
                    drop(span);
                    // Where nobody waits any more, the change stands all the same.
                    let _gone = sender.send(outcome);
                }) as Reply
            }
            .boxed()
        });
        Self { since: Instant::now(), run }
    }

    /// How long it has been waiting.
    pub(super) fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// Runs the work in a group. The caller is answered once the group's commit is decided.
    pub(super) async fn run(self, group: &Group) -> Reply {
        (self.run)(Ok(group)).await
    }

    /// Answers the caller that the work was not run.
    pub(super) async fn refuse(self, cause: &'static str) {
        (self.run)(Err(Error::unavailable(cause))).await(Ok(()));
    }

    /// The same where nothing can be awaited: without a group there is nothing to wait for.
    pub(super) fn refuse_at_once(self, error: Error) {
        if let Some(reply) = (self.run)(Err(error)).now_or_never() {
            reply(Ok(()));
        }
    }
}
