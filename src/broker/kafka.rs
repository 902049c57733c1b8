//! Kafka, by librdkafka: an idempotent producer and one topic for all events, keyed by tenant and resource, so that the
//! events of a resource stay in order. Consuming is in `kafka_inbound`.

use std::time::Duration;

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{DeliveryFuture, FutureProducer, FutureRecord},
};

pub use super::kafka_client::PLATFORM_TOPICS;
use super::{
    interface::{Broker, Decide, DeliveryOutcome, Down, Message, Publisher, Subscriber},
    kafka_client::{Closing, down},
    kafka_dead_letters, kafka_inbound,
    names::{EVENTS, TENANT},
};
use crate::telemetry::trace;

/// The header with the event's id.
pub const EVENT_ID: &str = "event-id";
/// The header with the event's type.
pub const EVENT_TYPE: &str = "event-type";

/// How long the brokers may take to confirm a message, in milliseconds.
const CONFIRM: &str = "10000";

/// Kafka, at the addresses of its first brokers.
pub struct Kafka {
    brokers: String,
}

impl Kafka {
    /// The brokers at these addresses, `host:port,…`.
    #[must_use]
    pub fn new(brokers: String) -> Self {
        Self { brokers }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "crm");
        config
    }

    fn producer(&self) -> Result<FutureProducer, KafkaError> {
        self.producer_config().create()
    }

    fn producer_config(&self) -> ClientConfig {
        let mut config = self.config();
        config.set("enable.idempotence", "true").set("message.timeout.ms", CONFIRM);
        config
    }
}

impl Broker for Kafka {
    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, Down>> {
        let producer = self.producer().map_err(down);
        async { Ok(Box::new(KafkaPublisher { producer: Closing::new(producer?) }) as Box<dyn Publisher>) }.boxed()
    }

    /// The topics hold events of all types.
    fn subscriber<'b>(
        &'b self,
        _event_types: &'b [&'static str],
        pause: Duration,
    ) -> BoxFuture<'b, Result<Box<dyn Subscriber>, Down>> {
        kafka_inbound::subscribe(self.config(), self.producer_config(), pause).boxed()
    }

    fn dead_letters<'b>(&'b self, limit: u64, decide: &'b mut Decide<'_>) -> BoxFuture<'b, Result<u64, Down>> {
        kafka_dead_letters::visit(self.config(), self.producer_config(), limit, decide).boxed()
    }
}

struct KafkaPublisher {
    producer: Closing<FutureProducer>,
}

impl KafkaPublisher {
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
}

/// Whether an error is the fault of the message.
fn failure(error: &KafkaError) -> DeliveryOutcome {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidRecord,
        ) => DeliveryOutcome::Refused(error.to_string()),
        _ => DeliveryOutcome::Unanswered(error.to_string()),
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
        .boxed()
    }
}
