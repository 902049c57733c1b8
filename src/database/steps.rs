//! Fault injection: the steps of a transaction are counted, so that tests can make any of them fail.

use std::{
    io,
    ops::RangeInclusive,
    sync::{Mutex, MutexGuard, PoisonError},
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

/// The steps of all transactions: begin, each turn with the database, of one statement or several, and commit, in the order in which they
/// are taken.
#[derive(Debug, Default)]
pub struct Steps(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    taken: u64,
    failing: Option<(RangeInclusive<u64>, Failure)>,
}

impl Steps {
    /// Counts anew, and makes the steps with these numbers, from 1, fail.
    pub fn fail(&self, numbers: RangeInclusive<u64>, failure: Failure) {
        *self.state() = State { taken: 0, failing: Some((numbers, failure)) };
    }

    /// Makes no further step fail, and returns how many were taken.
    pub fn stop_failing(&self) -> u64 {
        let mut state = self.state();
        state.failing = None;
        state.taken
    }

    /// Counts a step: how it is to fail, if it is.
    pub(super) fn take(&self) -> Option<Failure> {
        let mut state = self.state();
        state.taken += 1;
        state.failing.as_ref().filter(|(numbers, _)| numbers.contains(&state.taken)).map(|(_, failure)| *failure)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of a step that was made to fail.
pub(super) fn injected_error() -> sqlx::Error {
    sqlx::Error::Io(io::Error::other("a step was made to fail"))
}
