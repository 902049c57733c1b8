//! The relay at work, step by step.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    backoff::Backoff,
    ledger::{self, Candidate, DeliveryUpdate, MAX_ATTEMPTS},
    status::{RelayStatus, status},
};
use crate::{
    broker::{Broker, DeliveryOutcome, Down, Message, Publisher},
    database::Database,
    error::{Error, Result},
    events::{Model, types::Event},
    telemetry::{metrics::Metrics, trace::Trace},
    values::Clock,
};

/// How often the lease is renewed while the broker takes its time.
const RENEW: Duration = Duration::from_millis(500);
/// Maximum number of events under way at once.
const WINDOW: u64 = 500;
/// Before a refused event is sent again.
const RETRY: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };
/// Before a broker that is down is tried again.
const RECONNECT: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5) };

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There was nothing to do.
    Idle,
    /// This many events were confirmed; there may be more to send.
    Sent(usize),
    /// Another process holds the lease.
    Elsewhere,
    /// The broker is down, and not tried again before this instant.
    Down(Instant),
}

/// A relay at work.
pub struct Relay {
    database: Arc<Database>,
    clock: Clock,
    metrics: Arc<Metrics>,
    broker: Arc<dyn Broker>,
    owner: Uuid,
    publisher: Option<Box<dyn Publisher>>,
    /// Maximum number of events under way: one after a failure, to find out which event caused it.
    window: u64,
    /// Failures since the broker last answered.
    failures: u32,
    retry_at: Instant,
}

impl Relay {
    /// A relay to this broker; `owner` is its own id in the lease.
    #[must_use]
    pub fn new(
        database: Arc<Database>,
        clock: Clock,
        metrics: Arc<Metrics>,
        broker: Arc<dyn Broker>,
        owner: Uuid,
    ) -> Self {
        let retry_at = Instant::now();
        Self { database, clock, metrics, broker, owner, publisher: None, window: 1, failures: 0, retry_at }
    }

    /// Sends what can be sent now, at most a window of it.
    ///
    /// # Errors
    /// A fault of the database. What was sent and not recorded is sent again.
    pub async fn step(&mut self) -> Result<Step> {
        let status = status(&self.database).await?;
        self.show(&status);
        if status.position >= status.head && status.next_retry.is_none_or(|due| due > self.now()) {
            return Ok(Step::Idle);
        }
        if self.failures > 0 && Instant::now() < self.retry_at {
            return Ok(Step::Down(self.retry_at));
        }
        let mut publisher = match self.publisher.take() {
            Some(publisher) => publisher,
            None => match self.broker.publisher().await {
                Ok(publisher) => publisher,
                Err(Down(reason)) => return Ok(self.failed(&reason)),
            },
        };
        let Some(position) = ledger::take_lease(&self.database, self.owner).await? else {
            self.publisher = Some(publisher);
            return Ok(Step::Elsewhere);
        };
        let behind = (position, status.head);
        let (batch, position) = ledger::next_batch(&self.database, self.now(), behind, self.window).await?;
        let outcomes = self.send(&mut *publisher, &batch).await?;
        self.record(position, &batch, &outcomes).await?;
        let answers = || outcomes.iter().flatten();
        let confirmed = answers().filter(|outcome| **outcome == DeliveryOutcome::Confirmed).count();
        let refused = answers().filter(|outcome| matches!(outcome, DeliveryOutcome::Refused(_))).count();
        self.metrics.published.inc_by(confirmed as u64);
        self.metrics.refused.inc_by(refused as u64);
        let unanswered = answers().find_map(|outcome| match outcome {
            DeliveryOutcome::Unanswered(reason) => Some(reason),
            DeliveryOutcome::Confirmed | DeliveryOutcome::Refused(_) => None,
        });
        match unanswered {
            Some(reason) => drop(self.failed(reason)),
            None => self.succeeded(publisher),
        }
        Ok(Step::Sent(confirmed))
    }

    /// Lets the other relays work at once.
    ///
    /// # Errors
    /// A fault of the database: then they wait until the lease expires.
    pub async fn release(&self) -> Result<()> {
        ledger::release_lease(&self.database, self.owner).await
    }

    /// The present instant, in milliseconds since 1970.
    fn now(&self) -> i64 {
        self.clock.now().0.timestamp_millis()
    }

    fn show(&self, status: &RelayStatus) {
        self.metrics.waiting.set(status.head - status.position);
        self.metrics.blocked.set(status.blocked);
        self.metrics.parked.set(status.parked);
    }

    fn succeeded(&mut self, publisher: Box<dyn Publisher>) {
        if self.failures > 0 {
            tracing::info!("the broker works again");
        }
        self.publisher = Some(publisher);
        self.failures = 0;
        self.window = (self.window * 2).min(WINDOW);
        self.metrics.breaker_open.set(0);
    }

    fn failed(&mut self, reason: &str) -> Step {
        if self.failures == 0 {
            tracing::warn!(reason, "the broker is down: events wait");
        }
        self.publisher = None;
        self.failures = self.failures.saturating_add(1);
        self.window = 1;
        self.retry_at = Instant::now() + RECONNECT.jittered_after(self.failures);
        self.metrics.failures.inc();
        self.metrics.breaker_open.set(1);
        Step::Down(self.retry_at)
    }

    /// Publishes a batch, and keeps the lease meanwhile. An event that waits behind another is not sent and has no outcome; a
    /// row that was damaged in the database is not sent and counts as refused.
    async fn send(&self, publisher: &mut dyn Publisher, batch: &[Candidate]) -> Result<Vec<Option<DeliveryOutcome>>> {
        let mut messages = Vec::new();
        let mut outcomes: Vec<Option<DeliveryOutcome>> = Vec::new();
        for candidate in batch {
            let message = (!candidate.waits).then(|| message(candidate.row.clone()));
            outcomes.push(match message {
                Some(Ok(message)) => {
                    messages.push(message);
                    Some(DeliveryOutcome::Unanswered("the broker gave no answer".to_owned()))
                }
                Some(Err(error)) => Some(DeliveryOutcome::Refused(error.cause().unwrap_or_default().to_owned())),
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
                Err(_) => ledger::take_lease(&self.database, self.owner).await?.ok_or_else(lease_lost)?,
            };
        };
        let sent = outcomes.iter_mut().filter(|outcome| is_unanswered(outcome));
        sent.zip(published).for_each(|(outcome, published)| *outcome = Some(published));
        Ok(outcomes)
    }

    /// Records the outcomes of a batch, if this relay still has the lease.
    async fn record(&self, position: i64, batch: &[Candidate], outcomes: &[Option<DeliveryOutcome>]) -> Result<()> {
        // Events after the last answer count as not sent; of those before it, the unconfirmed ones are blocked.
        let all_answered = !outcomes.iter().any(is_unanswered);
        let last_answered = batch.iter().zip(outcomes).rposition(|(candidate, outcome)| {
            candidate.is_new() && (all_answered || (outcome.is_some() && !is_unanswered(outcome)))
        });
        let mut reached = position;
        let mut updates = Vec::new();
        for (index, (candidate, outcome)) in batch.iter().zip(outcomes).enumerate() {
            if candidate.is_new() {
                if last_answered.is_none_or(|last| index > last) {
                    continue;
                }
                reached = candidate.row.position.unwrap_or(reached);
            }
            updates.extend(self.update(candidate, outcome.as_ref()));
        }
        let ours = ledger::record(&self.database, self.owner, reached, updates).await?;
        if ours { Ok(()) } else { Err(lease_lost()) }
    }

    /// What changes for an event that is new or blocked, given the outcome.
    fn update(&self, candidate: &Candidate, outcome: Option<&DeliveryOutcome>) -> Option<DeliveryUpdate> {
        let Model { seq, tenant_id, aggregate_id, event_id, event_type, .. } = &candidate.row;
        let (seq, attempts) = (*seq, candidate.attempts.unwrap_or_default());
        match (outcome, candidate.is_new()) {
            (Some(DeliveryOutcome::Confirmed), true) | (Some(DeliveryOutcome::Unanswered(_)), false) => None,
            (Some(DeliveryOutcome::Confirmed), false) => {
                Some(DeliveryUpdate::Unblock { seq, tenant: tenant_id.clone(), aggregate: *aggregate_id })
            }
            (Some(DeliveryOutcome::Unanswered(_)), true) => {
                Some(DeliveryUpdate::Block { seq, attempts, due: Some(self.now()), reason: None })
            }
            (None, _) => Some(DeliveryUpdate::Block { seq, attempts, due: None, reason: None }),
            (Some(DeliveryOutcome::Refused(reason)), _) => {
                let attempts = attempts + 1;
                tracing::warn!(tenant_id, %event_id, event_type, attempts, reason, "the broker refused an event");
                let pause = RETRY.after(attempts.unsigned_abs());
                let due = self.now() + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
                let due = (attempts < MAX_ATTEMPTS).then_some(due);
                Some(DeliveryUpdate::Block { seq, attempts, due, reason: Some(reason.clone()) })
            }
        }
    }
}

fn is_unanswered(outcome: &Option<DeliveryOutcome>) -> bool {
    matches!(outcome, Some(DeliveryOutcome::Unanswered(_)))
}

fn message(row: Model) -> Result<Message> {
    let (id, event_type, at) = (row.event_id, row.event_type.clone(), row.occurred_at);
    let (tenant, aggregate) = (row.tenant_id.clone(), row.aggregate_id);
    let traceparent = Trace::parent_of(&row.trace_id, id);
    let payload = serde_json::to_vec(&Event::from_row(row)?).map_err(Error::internal)?;
    Ok(Message { id, event_type, tenant, aggregate, at, traceparent, payload })
}

fn lease_lost() -> Error {
    Error::unavailable("another relay took over")
}
