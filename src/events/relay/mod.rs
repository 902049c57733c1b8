//! The relay: publishes what is committed, at least once, and each resource's events in order.
//!
//! It reads the outbox by position, as any reader of the feed, and keeps how far it came in the database. Several
//! processes may run it; a lease (`ledger`) lets one of them work at a time, so that events are not sent twice. Order does
//! not hang on the lease: an event is only sent once the one before it in its resource was confirmed.
//!
//! - **Confirmed before marked.** Where the relay or the broker dies in between, the event is sent again, with the same id.
//! - **Refused** by the broker (unroutable, too large): the event is held and tried again, [`TRIES`] times with growing
//!   pauses, then set aside until `crm outbox retry`. Events of the same resource wait behind it, all others go on.
//! - **Down.** Where the broker cannot be reached nothing counts against an event: the breaker opens, and after a growing
//!   pause the broker is tried again, first with a single event.

mod ledger;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

pub use ledger::{Aside, Standing, aside, retry, standing};
use ledger::{Candidate, Mark, now_millis};

use super::{
    broker::{Broker, Down, Message, Outcome, Publisher},
    entity::Model,
    types::Event,
};
use crate::{
    app::App,
    background::Stop,
    error::{ApiError, Result},
    telemetry::trace::Trace,
};

/// How often the lease is renewed while the broker takes its time.
const RENEW: Duration = Duration::from_millis(500);
/// The most events on their way at once.
const WINDOW: u64 = 500;
/// How often an event is sent before it is set aside.
pub const TRIES: i32 = 8;
/// The first and the longest pause before a refused event is sent again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The first and the longest pause before a broker that is down is tried again.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long what another process did, and what falls due, may go unseen.
const POLL: Duration = Duration::from_millis(250);
/// How long the end of the service waits for what is on its way.
const GRACE: Duration = Duration::from_secs(3);

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is nothing to do.
    Idle,
    /// So many events were confirmed; there may be more.
    Sent(usize),
    /// Another process is at work.
    Elsewhere,
    /// The broker is down; there is no use in trying before this instant.
    Down(Instant),
}

/// A relay at work.
pub struct Relay {
    app: App,
    broker: Arc<dyn Broker>,
    owner: Uuid,
    publisher: Option<Box<dyn Publisher>>,
    /// At most so many are on their way: few after a failure, to find out what caused it.
    window: u64,
    /// Failures since the broker last answered.
    failures: u32,
    /// When it may be tried again.
    again: Instant,
}

impl Relay {
    /// A relay to this broker.
    #[must_use]
    pub fn new(app: App, broker: Arc<dyn Broker>) -> Self {
        let owner = app.new_id();
        Self { app, broker, owner, publisher: None, window: 1, failures: 0, again: Instant::now() }
    }

    /// Sends what can be sent now, at most a window of it.
    ///
    /// # Errors
    /// A fault of the database. What was sent and not marked is sent again.
    pub async fn step(&mut self) -> Result<Step> {
        let standing = standing(&self.app).await?;
        self.show(&standing);
        if standing.position >= standing.head && standing.due == 0 {
            return Ok(Step::Idle);
        }
        if self.failures > 0 && Instant::now() < self.again {
            return Ok(Step::Down(self.again));
        }
        let mut publisher = match self.publisher.take() {
            Some(publisher) => publisher,
            None => match self.broker.publisher().await {
                Ok(publisher) => publisher,
                Err(Down(reason)) => return Ok(self.failed(&reason)),
            },
        };
        let Some(position) = ledger::take_lease(&self.app, self.owner).await? else {
            self.publisher = Some(publisher);
            return Ok(Step::Elsewhere);
        };
        let (wave, position) = ledger::wave(&self.app, position, standing.head, self.window).await?;
        let outcomes = self.send(&mut *publisher, &wave).await?;
        self.mark(position, &wave, &outcomes).await?;
        let answers = || outcomes.iter().flatten();
        let confirmed = answers().filter(|outcome| **outcome == Outcome::Confirmed).count();
        let refused = answers().filter(|outcome| matches!(outcome, Outcome::Refused(_))).count();
        self.app.metrics().published.inc_by(confirmed as u64);
        self.app.metrics().refused.inc_by(refused as u64);
        let unanswered = answers().find_map(|outcome| match outcome {
            Outcome::Unanswered(reason) => Some(reason),
            Outcome::Confirmed | Outcome::Refused(_) => None,
        });
        match unanswered {
            Some(reason) => drop(self.failed(reason)),
            None => self.works(publisher),
        }
        Ok(Step::Sent(confirmed))
    }

    /// Lets the others work at once.
    ///
    /// # Errors
    /// A fault of the database: then they wait until the lease is over.
    pub async fn release(&self) -> Result<()> {
        ledger::release(&self.app, self.owner).await
    }

    fn show(&self, standing: &Standing) {
        let metrics = self.app.metrics();
        metrics.waiting.set(standing.head - standing.position);
        metrics.held.set(standing.held);
        metrics.aside.set(standing.aside);
    }

    fn works(&mut self, publisher: Box<dyn Publisher>) {
        if self.failures > 0 {
            tracing::info!("the broker works again");
        }
        self.publisher = Some(publisher);
        self.failures = 0;
        self.window = (self.window * 2).min(WINDOW);
        self.app.metrics().breaker_open.set(0);
    }

    fn failed(&mut self, reason: &str) -> Step {
        if self.failures == 0 {
            tracing::warn!(reason, "the broker is down: events wait");
        }
        self.publisher = None;
        self.failures = self.failures.saturating_add(1);
        self.window = 1;
        self.again = Instant::now() + jittered(pause(RECONNECT, self.failures));
        self.app.metrics().failures.inc();
        self.app.metrics().breaker_open.set(1);
        Step::Down(self.again)
    }

    /// Publishes a wave, and keeps the lease meanwhile. Gives what came of each event: none of those that wait behind
    /// another. One that somebody damaged in the database is not sent, and counts as refused.
    async fn send(&self, publisher: &mut dyn Publisher, wave: &[Candidate]) -> Result<Vec<Option<Outcome>>> {
        let mut messages = Vec::new();
        let mut outcomes: Vec<Option<Outcome>> = Vec::new();
        for candidate in wave {
            let message = (!candidate.blocked).then(|| message(candidate.row.clone()));
            outcomes.push(match message {
                Some(Ok(message)) => {
                    messages.push(message);
                    Some(Outcome::Unanswered("the broker gave no answer".to_owned()))
                }
                Some(Err(error)) => Some(Outcome::Refused(error.cause().unwrap_or_default().to_owned())),
                None => None,
            });
        }
        if messages.is_empty() {
            return Ok(outcomes);
        }
        let mut publishing = publisher.publish(&messages);
        let published = loop {
            match tokio::time::timeout(RENEW, &mut publishing).await {
                Ok(published) => break published,
                Err(_) => ledger::take_lease(&self.app, self.owner).await?.ok_or_else(lost)?,
            };
        };
        let sent = outcomes.iter_mut().filter(|outcome| matches!(outcome, Some(Outcome::Unanswered(_))));
        sent.zip(published).for_each(|(outcome, published)| *outcome = Some(published));
        Ok(outcomes)
    }

    /// Writes down what became of a wave, if the lease is still this relay's.
    async fn mark(&self, position: i64, wave: &[Candidate], outcomes: &[Option<Outcome>]) -> Result<()> {
        // Behind the last answer everything is as if it had not been sent; before it, what is not confirmed is held.
        let is_new = |candidate: &Candidate| candidate.held.is_none();
        let open = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Unanswered(_)));
        let all_answered = !outcomes.iter().any(open);
        let answered = wave.iter().zip(outcomes).rposition(|(candidate, outcome)| {
            is_new(candidate) && (all_answered || (outcome.is_some() && !open(outcome)))
        });
        let mut reached = position;
        let mut marks = Vec::new();
        for (index, (candidate, outcome)) in wave.iter().zip(outcomes).enumerate() {
            if is_new(candidate) && answered.is_none_or(|last| index > last) {
                continue;
            }
            if is_new(candidate) {
                reached = candidate.row.position.unwrap_or(reached);
            }
            marks.extend(self.verdict(candidate, outcome.as_ref()));
        }
        let ours = ledger::write(&self.app, self.owner, reached, marks).await?;
        if ours { Ok(()) } else { Err(lost()) }
    }

    fn verdict(&self, candidate: &Candidate, outcome: Option<&Outcome>) -> Option<Mark> {
        let Model { seq, tenant_id, aggregate_id, event_id, event_type, .. } = &candidate.row;
        let attempts = candidate.held.unwrap_or_default();
        match (outcome, candidate.held) {
            (Some(Outcome::Confirmed), None) | (Some(Outcome::Unanswered(_)), Some(_)) => None,
            (Some(Outcome::Confirmed), Some(_)) => {
                Some(Mark::Free { seq: *seq, tenant: tenant_id.clone(), aggregate: *aggregate_id })
            }
            (Some(Outcome::Unanswered(_)), None) => {
                Some(Mark::Hold { seq: *seq, attempts, due: Some(now_millis(&self.app)), reason: None })
            }
            (None, _) => Some(Mark::Hold { seq: *seq, attempts, due: None, reason: None }),
            (Some(Outcome::Refused(reason)), _) => {
                let attempts = attempts + 1;
                tracing::warn!(tenant_id, %event_id, event_type, attempts, reason, "the broker refused an event");
                let wait = pause(RETRY, attempts.unsigned_abs());
                let due = now_millis(&self.app) + i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
                let due = (attempts < TRIES).then_some(due);
                Some(Mark::Hold { seq: *seq, attempts, due, reason: Some(reason.clone()) })
            }
        }
    }
}

fn message(row: Model) -> Result<Message> {
    let (id, event_type, at) = (row.event_id, row.event_type.clone(), row.occurred_at);
    let (tenant, aggregate) = (row.tenant_id.clone(), row.aggregate_id);
    let traceparent = Trace::parent_of(&row.trace_id, id);
    let payload = serde_json::to_vec(&Event::shown(row)?).map_err(ApiError::internal)?;
    Ok(Message { id, event_type, tenant, aggregate, at, traceparent, payload })
}

fn lost() -> ApiError {
    ApiError::unavailable("another relay took over")
}

impl App {
    /// Publishes events as soon as they have positions, until `stop`.
    pub async fn keep_publishing(&self, broker: Arc<dyn Broker>, mut stop: Stop) {
        let mut relay = Relay::new(self.clone(), broker);
        let mut ordered = self.outbox().ordered();
        let mut works = true;
        loop {
            ordered.mark_unchanged();
            let outcome = {
                let step = relay.step();
                tokio::pin!(step);
                tokio::select! {
                    outcome = &mut step => Some(outcome),
                    () = stop.asked() => {
                        // What is on its way may still be confirmed, and is not sent again then.
                        let _confirmed_or_sent_again = tokio::time::timeout(GRACE, step).await;
                        None
                    }
                }
            };
            let Some(outcome) = outcome else { break };
            if let (true, Err(error)) = (works, &outcome) {
                tracing::error!(cause = error.cause().unwrap_or_default(), "events cannot be published");
            }
            works = outcome.is_ok();
            let pause = match outcome {
                Ok(Step::Sent(_)) => continue,
                Ok(Step::Down(again)) => again.saturating_duration_since(Instant::now()),
                Ok(Step::Idle | Step::Elsewhere) | Err(_) => POLL,
            };
            let down = matches!(outcome, Ok(Step::Down(_)));
            tokio::select! {
                () = stop.asked() => break,
                () = tokio::time::sleep(pause) => {}
                _ = ordered.changed(), if !down => {}
            }
        }
        if let Err(error) = relay.release().await {
            tracing::warn!(cause = error.cause().unwrap_or_default(), "the relay's lease cannot be given back");
        }
    }
}

/// The pause after so many failures in a row: doubled each time.
fn pause((first, longest): (Duration, Duration), failures: u32) -> Duration {
    first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest)
}

/// Between half of a pause and all of it, so that many do not come back at the same instant.
fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or_default();
    pause / 2 + (pause / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}
