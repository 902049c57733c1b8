//! A unit of work that waits for the writer, together with the caller who waits for its outcome.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::DbBackend;
use tokio::{sync::oneshot, time::Instant};

use super::group::Group;
use crate::{
    database::{
        deadline::Deadline,
        executor::unit_of_work::{Scope, UnitOfWork, WAIT},
        party::Party,
        span::{database_part, not_committed},
    },
    error::{Error, Result},
    telemetry::span::{Parent, Span},
};

/// A unit of work in the queue, of whatever type its outcome is.
pub(super) struct QueuedWork {
    since: Instant,
    work: Box<dyn Work>,
}

/// What waits, of whatever type its outcome is.
trait Work: Send {
    /// Runs it in a group, as the unit with this number.
    fn run<'g>(&'g mut self, group: &'g Group, unit: usize) -> BoxFuture<'g, ()>;

    /// Answers the caller, given the outcome of the group's commit.
    fn answer(self: Box<Self>, committed: Result<()>);
}

/// What waits.
struct Waiting<T, W> {
    party: Party,
    deadline: Deadline,
    work: W,
    /// Where the caller waits.
    sender: oneshot::Sender<Result<T>>,
    parent: Parent,
    /// The span of the time before it is run.
    waits: Option<Span>,
    /// What came of it, with the spans of its transaction and of the group's commit, once nothing more is taken into it.
    outcome: Option<(Result<T>, Span, Span)>,
}

impl<T: Send + 'static, W: UnitOfWork<T>> Work for Waiting<T, W> {
    fn run<'g>(&'g mut self, group: &'g Group, unit: usize) -> BoxFuture<'g, ()> {
        async move {
            (self.waits, self.outcome) = (None, None);
            // Nobody waits any more and nothing has happened yet: leave it so.
            if self.sender.is_closed() {
                return;
            }
            let span = database_part(&self.parent, "transaction", DbBackend::Sqlite);
            let outcome = span.around(group.run(unit, (&self.party, self.deadline), &self.work)).await;
            let commits = database_part(&span.as_parent(), "commit", DbBackend::Sqlite);
            self.outcome = Some((outcome, span, commits));
        }
        .boxed()
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let Self { sender, outcome, waits, .. } = *self;
        drop(waits);
        let (outcome, span) = match (committed, outcome) {
            // A refusal, too, was judged by what the group had written: where that is not committed, neither holds.
            (Err(fault), outcome) => {
                let (own, span) = outcome.map_or((None, Span::nothing()), |(own, span, _)| (own.err(), span));
                (Err(own.filter(Error::is_fault).unwrap_or(fault)), span)
            }
            (Ok(()), Some((outcome, span, _))) => (outcome, span),
            // It was not run, because nobody waits any more.
            (Ok(()), None) => return,
        };
        let mut span = span;
        if let Err(error) = &outcome {
            not_committed(&mut span, error);
        }
        drop(span);
        // Where nobody waits any more, the change stands all the same.
        let _gone = sender.send(outcome);
    }
}

impl QueuedWork {
    pub(super) fn new<T: Send + 'static>(
        scope: &Scope,
        work: impl UnitOfWork<T>,
        sender: oneshot::Sender<Result<T>>,
    ) -> Self {
        let (party, deadline) = (scope.party.clone(), scope.deadline);
        let parent = Parent::current();
        let waits = Some(parent.part(WAIT));
        Self {
            since: Instant::now(),
            work: Box::new(Waiting { party, deadline, work, sender, parent, waits, outcome: None }),
        }
    }

    /// How long it has been waiting.
    pub(super) fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// Runs the work in a group, as the unit with this number; again, if it has been run in one that was spoilt.
    pub(super) async fn run(&mut self, group: &Group, unit: usize) {
        self.work.run(group, unit).await;
    }

    /// Answers the caller, once the group's commit is decided.
    pub(super) fn answer(self, committed: Result<()>) {
        self.work.answer(committed);
    }

    /// Answers the caller that the work was not run.
    pub(super) fn refuse(self, error: Error) {
        self.work.answer(Err(error));
    }
}
