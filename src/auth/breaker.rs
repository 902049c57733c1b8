//! A circuit breaker: while the platform is away, it is asked only now and then, so that requests are not held up by waiting
//! for it. It only ever keeps from asking; what that means for a token is decided by those who ask.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    telemetry::{
        auth_metrics::{AuthEndpoint, CallOutcome},
        metrics::Metrics,
    },
    values::{Clock, Stopwatch},
};

/// After how many failures in a row it opens.
const FAILURES: u32 = 5;
/// How long it stays open at first, and at most: twice as long each time that it opens again.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5);

/// A circuit breaker in front of one endpoint.
pub(super) struct Breaker {
    endpoint: AuthEndpoint,
    clock: Clock,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In a row.
    failures: u32,
    /// Since when it is open, and for how long.
    open: Option<(Stopwatch, Duration)>,
    /// Whether one question is under way that tells whether the platform is back.
    trying: bool,
}

/// Leave to ask. Dropped without an outcome, where the caller has hung up, it says nothing about the platform.
pub(super) struct Permit<'b> {
    breaker: &'b Breaker,
    is_trial: bool,
}

impl Breaker {
    pub(super) fn new(endpoint: AuthEndpoint, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { endpoint, clock, metrics, state: Mutex::default() }
    }

    /// Leave to ask; none while the platform counts as away.
    pub(super) fn admit(&self) -> Option<Permit<'_>> {
        let mut state = self.state();
        let is_trial = match &state.open {
            None => false,
            Some((since, pause)) if since.elapsed() >= *pause && !state.trying => true,
            Some(_) => {
                self.metrics.auth.called(self.endpoint, CallOutcome::skipped);
                return None;
            }
        };
        state.trying |= is_trial;
        Some(Permit { breaker: self, is_trial })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut state = self.state();
        let was_open = state.open.is_some();
        (state.failures, state.open) = (0, None);
        self.metrics.auth.show_breaker(self.endpoint, false);
        self.metrics.auth.called(self.endpoint, CallOutcome::answered);
        if was_open {
            tracing::info!(endpoint = ?self.endpoint, "the platform is back");
        }
    }

    fn fail(&self, is_trial: bool, cause: &str) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        self.metrics.auth.called(self.endpoint, CallOutcome::failed);
        let pause = match &state.open {
            Some((_, pause)) if is_trial => pause.saturating_mul(2).min(LONGEST),
            Some(_) => return,
            None if state.failures < FAILURES => return,
            None => {
                tracing::warn!(endpoint = ?self.endpoint, cause, "the platform is away");
                FIRST
            }
        };
        state.open = Some((self.clock.stopwatch(), pause));
        self.metrics.auth.show_breaker(self.endpoint, true);
    }
}

impl Permit<'_> {
    /// The platform answered.
    pub(super) fn succeeded(self) {
        self.breaker.close();
    }

    /// It did not like the question, which says nothing about the next one.
    pub(super) fn refused(self) {
        self.breaker.metrics.auth.called(self.breaker.endpoint, CallOutcome::failed);
    }

    /// It did not, for this cause.
    pub(super) fn failed(self, cause: &str) {
        self.breaker.fail(self.is_trial, cause);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_trial {
            self.breaker.state().trying = false;
        }
    }
}
