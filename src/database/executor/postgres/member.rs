//! A unit of work that has a place in a group, together with the caller who waits for its outcome.

use std::{panic::AssertUnwindSafe, sync::Arc, task::Poll};

use futures_util::{FutureExt, future::BoxFuture, poll};
use sea_orm::DbBackend;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{
    database::{
        at_end::{AtEnd, Piece},
        executor::unit_of_work::{Scope, UnitOfWork},
        rows::Rows,
        seat::Seat,
        span::{database_part, not_committed},
        transaction::Transaction,
    },
    error::{Error, Result},
    telemetry::span::{Parent, Span},
};

use super::waiting::Waiting;

/// What a group says to a caller.
pub(super) enum Answer<T> {
    /// The unit was committed or refused, or its outcome is unknown.
    Outcome(Result<T>),
    /// It has to run by itself: nothing of it is committed.
    Alone,
}

/// What became of a unit in a group.
#[derive(Clone)]
pub(super) enum Fate {
    Committed,
    /// Nothing of it is committed.
    Undone,
    /// It is refused, or it is not known whether it is committed.
    Failed(Error),
}

/// A unit of work with a place in a group, of whatever type its outcome is.
pub(super) struct Member {
    pub(super) scope: Arc<Scope>,
    pub(super) seat: Arc<Seat>,
    waiting: Option<Waiting>,
    span: Span,
    unit: Box<dyn Unit>,
}

trait Unit: Send {
    /// Goes on until it is done, or wants something of the group.
    fn advance(&mut self) -> BoxFuture<'_, ()>;

    /// What it has done: whether it was refused, once that is known.
    fn is_refused(&self) -> Option<bool>;

    /// Its claim, and the resource that it names.
    fn claim(&self) -> Option<(Uuid, Rows)>;

    /// What else it left to its end.
    fn pieces(&self) -> Vec<Piece>;

    /// Answers the caller.
    fn answer(self: Box<Self>, fate: Fate, span: Span);
}

struct Running<T> {
    transaction: Arc<Transaction>,
    work: BoxFuture<'static, Result<T>>,
    outcome: Option<Result<T>>,
    sender: oneshot::Sender<Answer<T>>,
}

impl Member {
    /// A unit of work that has yet to begin; its outcome goes to the receiver.
    pub(super) fn new<T: Send + 'static>(
        scope: &Arc<Scope>,
        work: &Arc<impl UnitOfWork<T>>,
    ) -> (Self, oneshot::Receiver<Answer<T>>) {
        let seat = Arc::<Seat>::default();
        // It is told of what it writes once that is written.
        let at_end = AtEnd::new(&Arc::default());
        let transaction = Arc::new(Transaction::in_group(Arc::clone(&seat), scope.deadline, at_end));
        let span = database_part(&Parent::current(), "transaction", DbBackend::Postgres);
        let (own, work) = (Arc::clone(&transaction), Arc::clone(work));
        let work = AssertUnwindSafe(async move { work(&own).await }).catch_unwind();
        let work = span.around(work.map(|done| done.unwrap_or_else(|_| Err(Error::internal("a change panicked")))));
        let (sender, receiver) = oneshot::channel();
        let unit = Box::new(Running { transaction, work: work.boxed(), outcome: None, sender });
        (Self { scope: Arc::clone(scope), seat, waiting: None, span, unit }, receiver)
    }

    /// Lets it go on until it is done, or wants something of the group.
    pub(super) async fn advance(&mut self) {
        self.unit.advance().await;
    }

    /// It waits for the group's transaction to begin.
    pub(super) fn waits(&mut self, waiting: Waiting) {
        self.waiting = Some(waiting);
    }

    /// Whether a group takes it up: its caller has not given it up yet.
    pub(super) fn is_taken_up(&self) -> bool {
        self.seat.settle()
    }

    /// The group's transaction has begun.
    pub(super) fn begins(&mut self) {
        self.waiting = None;
    }

    /// It, unless it is refused, or has to run by itself: then its caller is told so. What has neither an outcome nor a wish waits for
    /// something else.
    pub(super) fn staying(self, may_want: bool) -> Option<Self> {
        let leaves = self.seat.leaves();
        match self.unit.is_refused() {
            _ if leaves => self.answer(Fate::Undone),
            // Whoever is refused by rows that the group has locked is so whatever becomes of the group.
            Some(true) => self.answer(Fate::Committed),
            Some(false) => return Some(self),
            None if may_want && self.seat.has_wish() => return Some(self),
            None => self.answer(Fate::Undone),
        }
        None
    }

    /// The claim that it writes, and the resource that this names.
    pub(super) fn claim(&self) -> Option<(Uuid, Rows)> {
        self.unit.claim()
    }

    /// What it writes otherwise.
    pub(super) fn pieces(&self) -> Vec<Piece> {
        self.unit.pieces()
    }

    /// A span of the group's commit.
    pub(super) fn commits(&self) -> Span {
        database_part(&self.span.as_parent(), "commit", DbBackend::Postgres)
    }

    /// Tells the caller what became of the group.
    pub(super) fn answer(self, fate: Fate) {
        let Self { unit, span, .. } = self;
        unit.answer(fate, span);
    }
}

impl<T: Send + 'static> Unit for Running<T> {
    fn advance(&mut self) -> BoxFuture<'_, ()> {
        async move {
            if self.outcome.is_none()
                && let Poll::Ready(outcome) = poll!(self.work.as_mut())
            {
                self.outcome = Some(outcome);
            }
        }
        .boxed()
    }

    fn is_refused(&self) -> Option<bool> {
        self.outcome.as_ref().map(Result::is_err)
    }

    fn claim(&self) -> Option<(Uuid, Rows)> {
        self.transaction.at_end.take_claim()
    }

    fn pieces(&self) -> Vec<Piece> {
        self.transaction.at_end.take()
    }

    fn answer(self: Box<Self>, fate: Fate, mut span: Span) {
        let answer = match (fate, self.outcome) {
            (Fate::Committed, Some(outcome)) => Answer::Outcome(outcome),
            (Fate::Failed(error), _) => Answer::Outcome(Err(error)),
            (Fate::Undone, _) | (Fate::Committed, None) => Answer::Alone,
        };
        match &answer {
            Answer::Alone => span.discard(),
            Answer::Outcome(Err(error)) => {
                not_committed(&mut span, error);
                drop(span);
            }
            Answer::Outcome(Ok(_)) => drop(span),
        }
        // Where nobody waits any more, the change stands all the same.
        let _gone = self.sender.send(answer);
    }
}
