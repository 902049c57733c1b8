//! The relay at work, step by step.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    backoff::{RECONNECT, RETRY},
    ledger::{self, Candidate, DeliveryUpdate, MAX_ATTEMPTS},
    status::{RelayStatus, show, status},
    stored_event::StoredEvent,
};
use crate::{
    broker::{Broker, DeliveryOutcome, Down, EVENTS, Message, Publisher},
    database::Database,
    error::{Error, Result},
    telemetry::{
        metrics::Metrics,
        span::Span,
        spans::{Spans, messaging},
    },
    values::Clock,
};

/// How often the lease is renewed while the broker takes its time.
const RENEW: Duration = Duration::from_millis(500);
/// Maximum number of events under way at once.
pub(super) const WINDOW: u64 = 500;

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
    spans: Spans,
    broker: Arc<dyn Broker>,
    owner: Uuid,
    publisher: Option<Box<dyn Publisher>>,
    /// The types of events that no queue was bound to, which are logged once each.
    unrouted: HashSet<String>,
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
        Self {
            database,
            clock,
            metrics,
            spans: Spans::default(),
            broker,
            owner,
            publisher: None,
            unrouted: HashSet::new(),
            window: 1,
            failures: 0,
            retry_at,
        }
    }

    /// The same, which begins a span for each event that it sends.
    #[must_use]
    pub fn traced_by(self, spans: &Spans) -> Self {
        Self { spans: spans.clone(), ..self }
    }

    /// Sends what can be sent now, at most a window of it. Where there is nothing to send, it still looks after its
    /// connection: one that broke is made anew before the next event comes.
    ///
    /// # Errors
    /// A fault of the database. What was sent and not recorded is sent again.
    pub async fn step(&mut self) -> Result<Step> {
        let status = status(&self.database).await?;
        show(&status, &self.metrics);
        if self.failures > 0 && Instant::now() < self.retry_at {
            return Ok(Step::Down(self.retry_at));
        }
        let mut publisher = match self.connection().await {
            Ok(publisher) => publisher,
            Err(Down(reason)) => return Ok(self.failed(&reason)),
        };
        if !self.has_work(&status) {
            self.works(publisher);
            return Ok(Step::Idle);
        }
        let Some(position) = ledger::take_lease(&self.database, self.owner).await? else {
            self.publisher = Some(publisher);
            return Ok(Step::Elsewhere);
        };
        if status.unrouted {
            ledger::release_unrouted(&self.database).await?;
        }
        let behind = (position, status.head);
        let (batch, position) = ledger::next_batch(&self.database, self.now(), behind, self.window).await?;
        let outcomes = self.send(&mut *publisher, &batch).await?;
        self.record(position, &batch, &outcomes).await?;
        let delivered = self.count(&batch, &outcomes);
        match outcomes.iter().flatten().find_map(DeliveryOutcome::unanswered) {
            Some(reason) => drop(self.failed(reason)),
            None => {
                self.works(publisher);
                self.window = (self.window * 2).min(WINDOW);
            }
        }
        Ok(Step::Sent(delivered))
    }

    /// The connection, if it is still there, or a new one.
    async fn connection(&mut self) -> std::result::Result<Box<dyn Publisher>, Down> {
        match self.publisher.take() {
            Some(mut publisher) => publisher.check().map(|()| publisher),
            None => self.broker.publisher().await,
        }
    }

    /// Whether there is something to send.
    fn has_work(&self, status: &RelayStatus) -> bool {
        let now = self.now();
        let is_due = |due| due <= now || due > ledger::latest_due(now);
        status.position < status.head || status.next_retry.is_some_and(is_due) || status.unrouted
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

    /// Counts the outcomes of a batch, and returns how many events the broker has.
    fn count(&mut self, batch: &[Candidate], outcomes: &[Option<DeliveryOutcome>]) -> usize {
        let (mut confirmed, mut unrouted, mut refused) = (0, 0, 0);
        for (candidate, outcome) in batch.iter().zip(outcomes) {
            match outcome {
                Some(DeliveryOutcome::Confirmed) => confirmed += 1,
                Some(DeliveryOutcome::Unrouted) => {
                    unrouted += 1;
                    if let Ok(row) = &candidate.event.row
                        && self.unrouted.insert(row.event_type.clone())
                    {
                        let (event_type, event_id) = (&row.event_type, tracing::field::display(row.event_id));
                        let (tenant_id, trace_id) = (&row.tenant_id, &row.trace_id);
                        let message = "no queue is bound to this type of events: they count as published";
                        tracing::warn!(event_type, event_id, tenant_id, trace_id, "{message}");
                    }
                }
                Some(DeliveryOutcome::Refused(_)) => refused += 1,
                Some(DeliveryOutcome::Unanswered(_)) | None => {}
            }
        }
        self.metrics.events.published.inc_by(confirmed + unrouted);
        self.metrics.events.unrouted.inc_by(unrouted);
        self.metrics.events.refused.inc_by(refused);
        usize::try_from(confirmed + unrouted).unwrap_or(usize::MAX)
    }

    /// The connection is there, and the broker answers.
    fn works(&mut self, publisher: Box<dyn Publisher>) {
        if self.failures > 0 {
            tracing::info!("the broker works again");
        }
        self.publisher = Some(publisher);
        self.failures = 0;
        self.metrics.events.breaker_open.set(0);
    }

    fn failed(&mut self, reason: &str) -> Step {
        if self.failures == 0 {
            tracing::warn!(reason, "the broker is down: events wait");
        }
        self.publisher = None;
        self.failures = self.failures.saturating_add(1);
        self.window = 1;
        self.retry_at = Instant::now() + RECONNECT.jittered_after(self.failures);
        self.metrics.events.failures.inc();
        self.metrics.events.breaker_open.set(1);
        Step::Down(self.retry_at)
    }

    /// Publishes a batch, and keeps the lease meanwhile. An event that waits behind another is not sent and has no outcome; a
    /// row that was damaged in the database is not sent and counts as refused.
    async fn send(&self, publisher: &mut dyn Publisher, batch: &[Candidate]) -> Result<Vec<Option<DeliveryOutcome>>> {
        let mut messages = Vec::new();
        let mut outcomes: Vec<Option<DeliveryOutcome>> = Vec::new();
        for candidate in batch {
            let message = (!candidate.waits).then(|| candidate.event.message());
            outcomes.push(match message {
                Some(Ok(message)) => {
                    messages.push(message);
                    Some(DeliveryOutcome::Unanswered("the broker gave no answer".to_owned()))
                }
                Some(Err(damage)) => Some(DeliveryOutcome::Refused(damage)),
                None => None,
            });
        }
        if messages.is_empty() {
            return Ok(outcomes);
        }
        let spans: Vec<Span> = messages.iter_mut().map(|message| self.begin_span(message)).collect();
        let mut publishing = publisher.publish(&messages);
        let published = loop {
            match tokio::time::timeout(RENEW, &mut publishing).await {
                Ok(published) => break published,
                Err(_) => ledger::take_lease(&self.database, self.owner).await?.ok_or_else(lease_lost)?,
            };
        };
        spans.into_iter().zip(&published).for_each(|(span, published)| end_span(span, published));
        let sent = outcomes.iter_mut().filter(|outcome| is_unanswered(outcome));
        sent.zip(published).for_each(|(outcome, published)| *outcome = Some(published));
        Ok(outcomes)
    }

    /// The span of sending a message, whose `traceparent` then says that it is recorded.
    fn begin_span(&self, message: &mut Message) -> Span {
        let mut span = self.spans.send(&mut message.traceparent);
        messaging(&mut span, "send", EVENTS, &message.event_type, message.id);
        span.set("messaging.system", self.broker.system());
        span
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
                reached = candidate.event.position.unwrap_or(reached);
            }
            updates.extend(self.update(candidate, outcome.as_ref()));
        }
        let ours = ledger::record(&self.database, self.owner, reached, updates).await?;
        if ours { Ok(()) } else { Err(lease_lost()) }
    }

    /// What changes for an event that is new or blocked, given the outcome.
    fn update(&self, candidate: &Candidate, outcome: Option<&DeliveryOutcome>) -> Option<DeliveryUpdate> {
        let StoredEvent { seq, ref resource, ref row, .. } = candidate.event;
        let attempts = candidate.attempts.unwrap_or_default();
        match (outcome, candidate.is_new()) {
            (Some(DeliveryOutcome::Confirmed | DeliveryOutcome::Unrouted), true)
            | (Some(DeliveryOutcome::Unanswered(_)), false) => None,
            (Some(DeliveryOutcome::Confirmed | DeliveryOutcome::Unrouted), false) => {
                let (tenant, aggregate) = resource.clone()?;
                Some(DeliveryUpdate::Unblock { seq, tenant, aggregate })
            }
            (Some(DeliveryOutcome::Unanswered(_)), true) => {
                Some(DeliveryUpdate::Block { seq, attempts, due: Some(self.now()), reason: None })
            }
            (None, _) => Some(DeliveryUpdate::Block { seq, attempts, due: None, reason: None }),
            (Some(DeliveryOutcome::Refused(reason)), _) => {
                let attempts = attempts + 1;
                let row = row.as_ref().ok();
                let event_id = row.map(|row| tracing::field::display(row.event_id));
                let (tenant_id, event_type) = (row.map(|row| &row.tenant_id), row.map(|row| &row.event_type));
                let (trace_id, message) = (row.map(|row| &row.trace_id), "an event cannot be published");
                tracing::warn!(tenant_id, event_id, event_type, trace_id, seq, attempts, reason, "{message}");
                let pause = RETRY.after(attempts.unsigned_abs());
                let due = self.now() + i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
                let due = (attempts < MAX_ATTEMPTS).then_some(due);
                Some(DeliveryUpdate::Block { seq, attempts, due, reason: Some(reason.clone()) })
            }
        }
    }
}

fn end_span(mut span: Span, outcome: &DeliveryOutcome) {
    match outcome {
        DeliveryOutcome::Confirmed => {}
        DeliveryOutcome::Unrouted => span.set("crm.outcome", "unrouted"),
        DeliveryOutcome::Refused(_) => span.fails("refused"),
        DeliveryOutcome::Unanswered(_) => span.fails("unanswered"),
    }
}

fn is_unanswered(outcome: &Option<DeliveryOutcome>) -> bool {
    outcome.as_ref().and_then(DeliveryOutcome::unanswered).is_some()
}

fn lease_lost() -> Error {
    Error::unavailable("another relay took over")
}
