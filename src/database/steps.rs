//! The steps of a transaction, counted, so that tests can let any of them fail.

use std::{
    io,
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
};

use sea_orm::sqlx;

/// How a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It is not done.
    NotDone,
    /// It is done, but the answer is lost.
    AnswerLost,
}

/// The steps of all transactions: begin, statement, savepoint, release and commit, in the order in which they are taken.
#[derive(Debug, Default)]
pub struct Steps(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    taken: u64,
    failing: Option<(RangeInclusive<u64>, Failure)>,
}

impl Steps {
    /// Counts anew, and lets the steps with these numbers, from 1, fail.
    pub fn fail(&self, numbers: RangeInclusive<u64>, failure: Failure) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State { taken: 0, failing: Some((numbers, failure)) };
    }

    /// Lets no step fail any more, and gives how many were taken.
    pub fn stop_failing(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failing = None;
        state.taken
    }

    /// Takes a step: how it is to fail, if it is.
    pub(super) fn take(&self) -> Option<Failure> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.taken += 1;
        state.failing.as_ref().filter(|(numbers, _)| numbers.contains(&state.taken)).map(|(_, failure)| *failure)
    }
}

/// The error of a step that was made to fail.
pub(super) fn failed() -> sqlx::Error {
    sqlx::Error::Io(io::Error::other("a step was made to fail"))
}
