//! Kafka, by librdkafka: an idempotent producer and one topic for all events, keyed by tenant and resource, so that the
//! events of a resource stay in order. Consuming is in `kafka_inbound`.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

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

pub use super::kafka_client::PLATFORM_TOPICS;
use super::{
    interface::{Broker, Choose, DeadLetterAction, DeliveryOutcome, Down, Message, Publisher, Subscriber},
    kafka_client::{Closing, down, is_refusal},
    kafka_dead_letters, kafka_inbound,
    names::{EVENTS, TENANT},
};
use crate::{
    config::{KafkaAddress, KafkaLogin, KafkaTls},
    telemetry::trace,
};

/// The header with the event's id.
pub const EVENT_ID: &str = "event-id";
/// The header with the event's type.
pub const EVENT_TYPE: &str = "event-type";

/// How long the brokers may take to confirm a message, in milliseconds.
const CONFIRM: &str = "10000";

/// Kafka, at the addresses of its first brokers.
pub struct Kafka {
    address: KafkaAddress,
}

impl Kafka {
    /// The brokers at this address: without TLS, where it is only `host:port,…`.
    #[must_use]
    pub fn new(address: impl Into<KafkaAddress>) -> Self {
        Self { address: address.into() }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address.brokers).set("client.id", "crm");
        if let Some(KafkaTls { ca_file, login }) = &self.address.tls {
            // Where no file is named, the places are looked through where systems keep theirs.
            let ca_file = ca_file.as_ref().map_or("probe".into(), |file| file.path().to_string_lossy());
            config.set("security.protocol", "ssl").set("ssl.ca.location", ca_file);
            if let Some(KafkaLogin { user, password, mechanism }) = login {
                config.set("security.protocol", "sasl_ssl").set("sasl.mechanisms", *mechanism);
                config.set("sasl.username", user).set("sasl.password", password.reveal());
            }
        }
        config
    }

    fn producing(&self) -> ClientConfig {
        let mut config = self.config();
        config.set("enable.idempotence", "true").set("message.timeout.ms", CONFIRM);
        config
    }

    fn publishing(&self) -> Result<KafkaPublisher, KafkaError> {
        let trouble = Trouble::default();
        let producer = self.producing().create_with_context(trouble.clone())?;
        Ok(KafkaPublisher { producer: Closing::new(producer), trouble })
    }
}

impl Broker for Kafka {
    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, Down>> {
        let publisher = self.publishing().map_err(down);
        async { Ok(Box::new(publisher?) as Box<dyn Publisher>) }.boxed()
    }

    /// The topics hold events of all types.
    fn subscriber<'b>(
        &'b self,
        _event_types: &'b [&'static str],
        pause: Duration,
    ) -> BoxFuture<'b, Result<Box<dyn Subscriber>, Down>> {
        kafka_inbound::subscribe(self.config(), self.producing(), pause).boxed()
    }

    fn dead_letters<'b>(
        &'b self,
        action: DeadLetterAction,
        limit: u64,
        choose: &'b mut Choose<'_>,
    ) -> BoxFuture<'b, Result<u64, Down>> {
        kafka_dead_letters::visit(self.config(), self.producing(), action, limit, choose).boxed()
    }
}

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

struct KafkaPublisher {
    producer: Closing<FutureProducer<Trouble>>,
    trouble: Trouble,
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

impl KafkaPublisher {
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
