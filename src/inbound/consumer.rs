//! From the broker's deliveries to changes and settlements.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{consumed_event::ConsumedEvent, contract_signed, envelope::Envelope, task_completed};
use crate::{
    broker::{Broker, DEAD_LETTERS, Down, Settlement, Subscriber},
    change::Changes,
    error::{Error, ErrorKind, Result},
    telemetry::metrics::{InboundLabels, InboundOutcome, Metrics},
    values::IdSource,
};

/// How often an event is tried that the service fails to apply while the database works.
const MAX_ATTEMPTS: u32 = 5;
/// The pause before an event is tried again.
const PAUSE: Duration = Duration::from_millis(500);

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
}

impl Inbound {
    /// Consumes events until the connection ends.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub async fn consume(&self, broker: &dyn Broker) -> std::result::Result<(), Down> {
        let mut subscriber = broker.subscriber(&event_types()).await?;
        tracing::info!("the platform's events are taken");
        while self.take_batch(&mut *subscriber).await.is_ok() {}
        Ok(())
    }

    /// Waits for events, applies them together and settles them.
    ///
    /// # Errors
    /// The connection is lost: events that were not settled are delivered again.
    pub async fn take_batch(&self, subscriber: &mut dyn Subscriber) -> std::result::Result<(), Down> {
        let events = subscriber.next().await?;
        let settlements = join_all(events.iter().map(|event| self.settle(event))).await;
        subscriber.settle(settlements).await
    }

    /// Applies an event, unless it was applied before.
    ///
    /// # Errors
    /// What is wrong with an event that cannot be applied, or a fault of the service.
    pub async fn apply(&self, event: &[u8]) -> Result<ApplyOutcome> {
        let envelope = Envelope::parse(event)?;
        let event = consumed().into_iter().find(|event| event.event_type == envelope.event_type);
        let event = event.ok_or_else(|| Error::invalid("eventType: is not one that this service takes"))?;
        match (event.apply)(&self.changes, &self.ids, &envelope).await {
            Ok(()) => Ok(ApplyOutcome::Applied),
            Err(error) if error.kind() == ErrorKind::Duplicate => Ok(ApplyOutcome::Duplicate),
            Err(error) => Err(error),
        }
    }

    /// Tries to apply an event until it is clear how to settle it.
    async fn settle(&self, event: &[u8]) -> Settlement {
        let mut attempts = 0;
        loop {
            let error = match self.apply(event).await {
                Ok(ApplyOutcome::Applied) => return self.settled(InboundOutcome::applied, Settlement::Ack),
                Ok(ApplyOutcome::Duplicate) => return self.settled(InboundOutcome::duplicate, Settlement::Ack),
                Err(error) => error,
            };
            attempts += 1;
            let cause = error.cause().unwrap_or_default();
            let reason = match error.kind() {
                ErrorKind::Unavailable => None,
                ErrorKind::Internal if attempts < MAX_ATTEMPTS => None,
                ErrorKind::Internal => Some("the service failed to apply it; its log says why"),
                _ => Some(error.details().unwrap_or("it cannot be applied")),
            };
            if let Some(reason) = reason {
                tracing::warn!(reason, cause, queue = DEAD_LETTERS, "an event of the platform is set apart");
                return self.settled(InboundOutcome::dead, Settlement::Reject(reason.to_owned()));
            }
            if attempts == 1 {
                tracing::error!(cause, "an event of the platform cannot be applied yet");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn settled(&self, outcome: InboundOutcome, settlement: Settlement) -> Settlement {
        self.metrics.inbound.get_or_create(&InboundLabels { outcome }).inc();
        settlement
    }
}
