//! Publishing to Kafka.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use rdkafka::{
    ClientConfig, ClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{DeliveryFuture, FutureProducer, FutureRecord},
};

use super::client::{Closing, is_refusal};
use crate::{
    broker::{
        interface::{DeliveryOutcome, Down, Message, Publisher},
        names::{EVENTS, TENANT},
    },
    telemetry::trace,
};

/// The header with the event's id.
pub const EVENT_ID: &str = "event-id";
/// The header with the event's type.
pub const EVENT_TYPE: &str = "event-type";

/// What librdkafka last said about its connections: a message that was not delivered in time does not tell why.
#[derive(Clone, Default)]
struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    fn replace(&self, reason: Option<String>) -> Option<String> {
        std::mem::replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), reason)
    }
}

impl ClientContext for Trouble {
    fn error(&self, error: KafkaError, reason: &str) {
        // That all brokers are down is told after why the last of them is.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.replace(Some(reason.to_owned()));
        }
    }
}

/// A producer.
pub(super) struct KafkaPublisher {
    producer: Closing<FutureProducer<Trouble>>,
    trouble: Trouble,
}

impl KafkaPublisher {
    pub fn new(config: &ClientConfig) -> Result<Self, KafkaError> {
        let trouble = Trouble::default();
        let producer = config.create_with_context(trouble.clone())?;
        Ok(Self { producer: Closing::new(producer), trouble })
    }

    fn send(&self, message: &Message) -> Result<DeliveryFuture, DeliveryOutcome> {
        let id = message.id.to_string();
        let headers = [
            (EVENT_ID, &id),
            (EVENT_TYPE, &message.event_type),
            (TENANT, &message.tenant),
            (trace::HEADER, &message.traceparent),
        ];
        let headers = headers
            .into_iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value.as_str()) }));
        let key = format!("{}/{}", message.tenant, message.aggregate);
        let record = FutureRecord::to(EVENTS)
            .key(&key)
            .payload(&message.payload)
            .headers(headers)
            .timestamp(message.at.timestamp_millis());
        let producer = self.producer.client().map_err(|Down(reason)| DeliveryOutcome::Unanswered(reason))?;
        producer.send_result(record).map_err(|(error, _)| failure(&error))
    }

    /// The outcomes, with what was wrong with the connections where there is no answer.
    fn explained(&self, mut outcomes: Vec<DeliveryOutcome>) -> Vec<DeliveryOutcome> {
        let trouble = self.trouble.replace(None);
        for outcome in &mut outcomes {
            if let (DeliveryOutcome::Unanswered(reason), Some(trouble)) = (outcome, &trouble) {
                *reason = format!("{reason}: {trouble}");
            }
        }
        outcomes
    }
}

/// Whether an error is the fault of the message.
fn failure(error: &KafkaError) -> DeliveryOutcome {
    match is_refusal(error) {
        true => DeliveryOutcome::Refused(error.to_string()),
        false => DeliveryOutcome::Unanswered(error.to_string()),
    }
}

impl Publisher for KafkaPublisher {
    fn publish<'p>(&'p mut self, messages: &'p [Message]) -> BoxFuture<'p, Vec<DeliveryOutcome>> {
        let sent: Vec<_> = messages.iter().map(|message| self.send(message)).collect();
        join_all(sent.into_iter().map(|sent| async {
            match sent {
                Ok(delivery) => match delivery.await {
                    Ok(Ok(_)) => DeliveryOutcome::Confirmed,
                    Ok(Err((error, _))) => failure(&error),
                    Err(_) => DeliveryOutcome::Unanswered("the producer was closed".to_owned()),
                },
                Err(outcome) => outcome,
            }
        }))
        .map(|outcomes| self.explained(outcomes))
        .boxed()
    }

    /// The client reconnects by itself, and only a message shows whether it can.
    fn check(&mut self) -> Result<(), Down> {
        self.producer.client().map(drop)
    }
}
