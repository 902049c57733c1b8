//! Kafka, by librdkafka: an idempotent producer and one topic for all events, keyed by tenant and resource, so that the
//! events of a resource stay in order · a consumer group, whose offsets are committed once the events are applied.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders, OwnedMessage},
    producer::{DeliveryFuture, FutureProducer, FutureRecord},
};

use super::{
    interface::{Broker, DeliveryOutcome, Down, Message, PREFETCH, Publisher, Settlement, Subscriber},
    names::{DEAD_LETTERS, EVENTS, INBOUND, REASON, TENANT},
};
use crate::{
    config::{KafkaAddress, KafkaLogin, KafkaTls},
    telemetry::trace,
};

/// The topics that the platform publishes to.
pub const PLATFORM_TOPICS: [&str; 2] = ["erp.events", "oa.events"];
/// The header with the event's id.
pub const EVENT_ID: &str = "event-id";
/// The header with the event's type.
pub const EVENT_TYPE: &str = "event-type";

/// How long the brokers may take to confirm a message, in milliseconds.
const CONFIRM: &str = "10000";
/// The pause after an error of the consumer.
const PAUSE: Duration = Duration::from_millis(500);

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

    fn producer(&self) -> Result<FutureProducer, KafkaError> {
        self.producing().create()
    }

    fn publishing(&self) -> Result<KafkaPublisher, KafkaError> {
        let trouble = Trouble::default();
        let producer = self.producing().create_with_context(trouble.clone())?;
        Ok(KafkaPublisher { producer: Closing::new(producer), trouble })
    }

    fn subscribing(&self) -> Result<KafkaSubscriber, KafkaError> {
        let mut config = self.config();
        config
            .set("group.id", INBOUND)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            // After this the partitions of a process that died go to another.
            .set("session.timeout.ms", "10000")
            .set("allow.auto.create.topics", "true");
        let consumer: StreamConsumer = config.create()?;
        consumer.subscribe(&PLATFORM_TOPICS)?;
        Ok(KafkaSubscriber {
            consumer: Closing::new(Arc::new(consumer)),
            producer: Closing::new(self.producer()?),
            unsettled: Vec::new(),
            works: true,
        })
    }
}

impl Broker for Kafka {
    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, Down>> {
        let publisher = self.publishing().map_err(down);
        async { Ok(Box::new(publisher?) as Box<dyn Publisher>) }.boxed()
    }

    /// The topics hold events of all types.
    fn subscriber<'b>(&'b self, _event_types: &'b [&'static str]) -> BoxFuture<'b, Result<Box<dyn Subscriber>, Down>> {
        let subscriber = self.subscribing().map_err(down);
        async { Ok(Box::new(subscriber?) as Box<dyn Subscriber>) }.boxed()
    }
}

fn down(error: KafkaError) -> Down {
    Down(error.to_string())
}

/// A client of Kafka. Closing it waits for the brokers, so that happens on a thread for blocking work.
struct Closing<C: Send + 'static>(Option<C>);

impl<C: Send + 'static> Closing<C> {
    fn new(client: C) -> Self {
        Self(Some(client))
    }

    fn client(&self) -> Result<&C, Down> {
        self.0.as_ref().ok_or_else(|| Down("closed".to_owned()))
    }
}

impl<C: Send + 'static> Drop for Closing<C> {
    fn drop(&mut self) {
        if let (Some(client), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(client));
        }
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
        .map(|outcomes| self.explained(outcomes))
        .boxed()
    }

    /// The client reconnects by itself, and only a message shows whether it can.
    fn check(&mut self) -> Result<(), Down> {
        self.producer.client().map(drop)
    }
}

struct KafkaSubscriber {
    consumer: Closing<Arc<StreamConsumer>>,
    producer: Closing<FutureProducer>,
    unsettled: Vec<OwnedMessage>,
    /// Whether the last answer was not an error: trouble is logged once.
    works: bool,
}

impl KafkaSubscriber {
    async fn take(&mut self) -> Result<(), Down> {
        self.unsettled.clear();
        let consumer = Arc::clone(self.consumer.client()?);
        loop {
            let trouble = match consumer.recv().await {
                Ok(message) => {
                    self.unsettled.push(message.detach());
                    break;
                }
                Err(error @ KafkaError::MessageConsumptionFatal(_)) => return Err(down(error)),
                Err(error) => error,
            };
            // The client reconnects by itself.
            if std::mem::replace(&mut self.works, false) {
                tracing::warn!(reason = %trouble, "Kafka is in trouble: the platform's events wait");
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.works = true;
        while self.unsettled.len() < usize::from(PREFETCH)
            && let Some(Ok(message)) = consumer.recv().now_or_never()
        {
            self.unsettled.push(message.detach());
        }
        Ok(())
    }

    async fn dead_letter(&self, message: &OwnedMessage, reason: &str) -> Result<(), Down> {
        let headers = message.headers().cloned().unwrap_or_default();
        let headers = headers.insert(Header { key: REASON, value: Some(reason) });
        let record = FutureRecord::to(DEAD_LETTERS).headers(headers).payload(message.payload().unwrap_or_default());
        let record = record.key(message.key().unwrap_or_default());
        let sent = self.producer.client()?.send(record, Duration::ZERO).await;
        sent.map(drop).map_err(|(error, _)| down(error))
    }

    async fn settle_all(&mut self, settlements: Vec<Settlement>) -> Result<(), Down> {
        let mut reached = HashMap::new();
        for (message, settlement) in std::mem::take(&mut self.unsettled).into_iter().zip(settlements) {
            if let Settlement::Reject(reason) = settlement {
                self.dead_letter(&message, &reason).await?;
            }
            reached.insert((message.topic().to_owned(), message.partition()), Offset::Offset(message.offset() + 1));
        }
        let offsets = TopicPartitionList::from_topic_map(&reached).map_err(down)?;
        let consumer = Arc::clone(self.consumer.client()?);
        let committing = tokio::task::spawn_blocking(move || consumer.commit(&offsets, CommitMode::Sync));
        match committing.await {
            Ok(committed) => committed.map_err(down),
            Err(error) => Err(Down(error.to_string())),
        }
    }
}

impl Subscriber for KafkaSubscriber {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Down>> {
        async {
            self.take().await?;
            Ok(self.unsettled.iter().map(|message| message.payload().unwrap_or_default().to_vec()).collect())
        }
        .boxed()
    }

    fn settle(&mut self, settlements: Vec<Settlement>) -> BoxFuture<'_, Result<(), Down>> {
        self.settle_all(settlements).boxed()
    }
}
