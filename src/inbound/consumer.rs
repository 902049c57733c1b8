//! From the broker's deliveries to changes and settlements.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{
    consumed_event::ConsumedEvent, contract_signed, envelope::Envelope, names::EventNames, reason::without_values,
    task_completed,
};
use crate::{
    broker::{
        Broker, DEAD_LETTERS, Delivery, Down, INBOUND, PREFETCH, Refusal, RetryPolicy, Settled, Settlement, Subscriber,
    },
    change::Changes,
    error::{Error, ErrorKind, Result},
    telemetry::{
        metrics::{InboundOutcome, Metrics},
        span::Span,
        spans::{Spans, messaging},
        trace,
    },
    values::IdSource,
};

/// How often an event is tried that the service fails to apply while the database works.
const MAX_ATTEMPTS: u32 = 5;
/// The pause before an event is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// How often in a row consuming goes on at once after it ended over a message that cannot be read.
const UNREADABLE: u32 = 16;

/// The types of events that are consumed.
#[must_use]
pub fn consumed() -> [ConsumedEvent; 2] {
    [contract_signed::EVENT, task_completed::EVENT]
}

/// The names of these types, to subscribe to them.
#[must_use]
pub fn event_types() -> [&'static str; 2] {
    consumed().map(|event| event.event_type)
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// It was applied.
    Applied,
    /// It had been applied before; nothing changed.
    Duplicate,
}

/// Consumes the platform's events.
pub struct Inbound {
    /// What carries out the changes.
    pub changes: Changes,
    /// Where the ids of new resources come from.
    pub ids: Arc<IdSource>,
    /// Where outcomes are counted.
    pub metrics: Arc<Metrics>,
    /// What begins the span of each event.
    pub spans: Spans,
    /// How long an event may wait for the resource that it names.
    pub retry_policy: RetryPolicy,
}

impl Inbound {
    /// Consumes events until the connection ends, and returns why it did, or why there was none.
    pub async fn consume(&self, broker: &dyn Broker) -> Down {
        let mut ends = 0;
        loop {
            let mut subscriber = match broker.subscriber(&event_types(), self.retry_policy.pause).await {
                Ok(subscriber) => subscriber,
                Err(down) => return down,
            };
            tracing::info!("the platform's events are taken");
            let connected = Connected::new(&self.metrics);
            let down = self.take(&mut *subscriber).await;
            drop(connected);
            ends += 1;
            if ends == UNREADABLE || !subscriber.ended_over_message() {
                return down;
            }
        }
    }

    /// Takes events as they come, and settles each as soon as it is clear how: none waits for another. Ends with the
    /// connection; what was not settled by then is delivered again.
    pub async fn take(&self, subscriber: &mut dyn Subscriber) -> Down {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                settled = under_way.next(), if !under_way.is_empty() => if let Some(Err(down)) = settled {
                    return down;
                },
                next = subscriber.next(), if under_way.len() < usize::from(PREFETCH) => match next {
                    Ok(delivery) => under_way.push(self.handle(delivery)),
                    Err(down) => return down,
                },
            }
        }
    }

    /// Applies an event, unless it was applied before.
    ///
    /// # Errors
    /// What is wrong with an event that cannot be applied, or a fault of the service.
    pub async fn apply(&self, event: &[u8]) -> Result<ApplyOutcome> {
        self.apply_from(event, None, None).await
    }

    /// The same, where the broker vouches for who sent it: nobody may send in another's name. An event that names no trace
    /// belongs to this one.
    async fn apply_from(&self, event: &[u8], sender: Option<&str>, trace: Option<&str>) -> Result<ApplyOutcome> {
        let envelope = Envelope::parse(event)?.of_trace(trace);
        let event = consumed().into_iter().find(|event| event.event_type == envelope.event_type);
        let event = event.ok_or_else(|| Error::invalid("eventType: is not one that this service takes"))?;
        if sender.is_some_and(|sender| sender != envelope.sender()) {
            return Err(Error::invalid(
                "eventType: is not of the sender whose routing key or topic it was published under",
            ));
        }
        match (event.apply)(&self.changes, &self.ids, &envelope).await {
            Ok(()) => Ok(ApplyOutcome::Applied),
            Err(error) if error.kind() == ErrorKind::Duplicate => Ok(ApplyOutcome::Duplicate),
            Err(error) => Err(error),
        }
    }

    /// Applies an event and settles it.
    async fn handle(&self, delivery: Box<dyn Delivery>) -> std::result::Result<(), Down> {
        let span = self.begin_span(&*delivery);
        let sent = delivery.traceparent().and_then(trace::parse).map(|sent| sent.trace.to_owned());
        let trace = sent.or_else(|| span.trace_id());
        let decided = span.around(self.decide(&*delivery, trace.as_deref())).await;
        end_span(span, &decided);
        let (settlement, acked) = match decided {
            Ok(ApplyOutcome::Applied) => (Settlement::Ack, InboundOutcome::applied),
            Ok(ApplyOutcome::Duplicate) => (Settlement::Ack, InboundOutcome::duplicate),
            Err(settlement) => (settlement, InboundOutcome::retried),
        };
        let (reason, names) = match &settlement {
            Settlement::Ack => (String::new(), EventNames::default()),
            Settlement::Retry(refusal) | Settlement::Reject(refusal) => {
                (refusal.reason.clone(), EventNames::of(delivery.payload()))
            }
        };
        let outcome = match delivery.settle(settlement).await? {
            Settled::Acked => acked,
            Settled::Delayed => InboundOutcome::retried,
            Settled::DeadLettered => {
                let _about = names.span().entered();
                tracing::warn!(reason, queue = DEAD_LETTERS, "an event of the platform is set apart");
                InboundOutcome::dead
            }
            Settled::Dropped(refused) => {
                let message = "an event of the platform is rejected: the broker does not take it as a dead letter";
                let _about = names.span().entered();
                tracing::error!(reason, refused = without_values(&refused), queue = DEAD_LETTERS, "{message}");
                InboundOutcome::rejected
            }
        };
        self.metrics.events.consumed(outcome);
        Ok(())
    }

    /// The span of applying an event: under its sender's, or in the trace that it names.
    fn begin_span(&self, delivery: &dyn Delivery) -> Span {
        let mut span = self.spans.process(delivery.traceparent(), || EventNames::of(delivery.payload()).trace_id);
        if span.is_recorded() {
            let EventNames { event_id, event_type, .. } = EventNames::of(delivery.payload());
            let unknown = || "unknown".to_owned();
            let (id, event_type) = (event_id.unwrap_or_else(unknown), event_type.unwrap_or_else(unknown));
            messaging(&mut span, "process", INBOUND, &event_type, id);
            span.set("messaging.system", delivery.system());
        }
        span
    }

    /// Tries to apply an event until it is clear how to settle it.
    async fn decide(
        &self,
        delivery: &dyn Delivery,
        trace: Option<&str>,
    ) -> std::result::Result<ApplyOutcome, Settlement> {
        let mut attempts = 0;
        loop {
            let error = match self.apply_from(delivery.payload(), delivery.sender(), trace).await {
                Ok(outcome) => return Ok(outcome),
                Err(error) => error,
            };
            attempts += 1;
            let refusal = |reason: &str| Refusal { reason: without_values(reason), at: self.ids.now().0 };
            let cause = error.cause().unwrap_or_default();
            let about = || EventNames::of(delivery.payload()).span().entered();
            match error.kind() {
                ErrorKind::Unavailable => {}
                ErrorKind::Internal if attempts < MAX_ATTEMPTS => {}
                ErrorKind::Internal => {
                    let _about = about();
                    tracing::error!(cause, "an event of the platform cannot be applied");
                    return Err(Settlement::Reject(refusal("the service failed to apply it; its log says why")));
                }
                _ => {
                    let refusal = refusal(error.details().unwrap_or("it names a resource that does not exist"));
                    let waits = error.is_missing_reference() && delivery.attempts() < self.retry_policy.retries;
                    return Err(if waits { Settlement::Retry(refusal) } else { Settlement::Reject(refusal) });
                }
            }
            if attempts == 1 {
                let _about = about();
                tracing::error!(cause, "an event of the platform cannot be applied yet");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn end_span(mut span: Span, decided: &std::result::Result<ApplyOutcome, Settlement>) {
    match decided {
        Ok(ApplyOutcome::Applied) => {}
        Ok(ApplyOutcome::Duplicate) => span.set("crm.outcome", "duplicate"),
        Err(Settlement::Ack | Settlement::Retry(_)) => span.set("crm.outcome", "retried"),
        Err(Settlement::Reject(_)) => span.fails("rejected"),
    }
}

/// The metric says that events are taken for as long as this lives.
struct Connected<'m>(&'m Metrics);

impl<'m> Connected<'m> {
    fn new(metrics: &'m Metrics) -> Self {
        metrics.events.inbound_connected.set(1);
        Self(metrics)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.events.inbound_connected.set(0);
    }
}
