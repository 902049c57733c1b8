//! Consuming from Kafka: a consumer group, whose offsets are committed once all events before them are settled. An event that
//! is delayed waits in memory, and the offset of its partition with it: after a restart it comes again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use rdkafka::{
    ClientConfig, Message as _,
    consumer::{Consumer, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, Headers, OwnedHeaders, OwnedMessage},
    metadata::MetadataTopic,
    producer::{FutureProducer, FutureRecord},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::sleep,
};

use super::{
    client::{Closing, down, is_refusal, of_any_size, senders},
    offsets::{Assignments, Offsets},
};
use crate::{
    broker::{
        interface::{Delivery, Down, Refusal, Settled, Settlement, Subscriber},
        names::{DEAD_LETTERS, DEAD_SINCE, INBOUND, ORIGIN, PLATFORM_TOPICS, REASON},
    },
    telemetry::trace,
};

/// How long the brokers may take to say what they have.
const START: Duration = Duration::from_secs(10);
/// The pause after an error of the consumer.
const PAUSE: Duration = Duration::from_millis(500);
/// Maximum size of all events that wait to be tried again, in bytes. What is beyond is a dead letter at once.
const WAITING: usize = 16 << 20;
/// What one of them takes besides what it says, in bytes.
const OVERHEAD: usize = 1024;

/// Subscribes, with a client of this configuration. That is done once there are partitions to take events from: a process
/// for which none is left waits here.
pub(super) async fn subscribe(
    client: ClientConfig,
    producer: ClientConfig,
    pause: Duration,
) -> Result<Box<dyn Subscriber>, Down> {
    let offsets = Arc::<Offsets>::default();
    let consumer = consumer(client, &offsets).map_err(down)?;
    let producer = of_any_size(producer).map_err(down)?;
    let (again, waited) = unbounded_channel();
    let (consumer, producer) = (Closing::new(Arc::new(consumer)), Closing::new(producer));
    let client = Arc::new(Client { consumer, producer, offsets, pause, waiting: AtomicUsize::new(0), again });
    check_topics(Arc::clone(client.consumer.client()?)).await?;
    let offsets = Arc::clone(&client.offsets);
    let mut subscriber = KafkaSubscriber { client, waited, first: None, works: true };
    tokio::select! {
        taken = subscriber.take() => subscriber.first = Some(taken?),
        () = offsets.assigned() => {}
    }
    Ok(Box::new(subscriber))
}

fn consumer(mut config: ClientConfig, offsets: &Arc<Offsets>) -> Result<StreamConsumer<Assignments>, KafkaError> {
    config
        .set("group.id", INBOUND)
        // Committed by the client itself, now and then and at the end; but only what was settled.
        .set("enable.auto.commit", "true")
        .set("enable.auto.offset.store", "false")
        .set("auto.commit.interval.ms", "1000")
        .set("auto.offset.reset", "earliest")
        // After this the partitions of a process that died go to another.
        .set("session.timeout.ms", "10000")
        .set("allow.auto.create.topics", "true");
    let consumer: StreamConsumer<Assignments> = config.create_with_context(Assignments(Arc::clone(offsets)))?;
    consumer.subscribe(&PLATFORM_TOPICS)?;
    Ok(consumer)
}

/// Fails unless the brokers answer and have the topics, as far as this service may know.
async fn check_topics(consumer: Arc<StreamConsumer<Assignments>>) -> Result<(), Down> {
    let asking = tokio::task::spawn_blocking(move || {
        for topic in PLATFORM_TOPICS.into_iter().chain([DEAD_LETTERS]) {
            let metadata = consumer.fetch_metadata(Some(topic), START);
            let metadata = metadata.map_err(|error| Down(format!("cannot reach Kafka: {error}")))?;
            if let Some(error) = metadata.topics().iter().find_map(MetadataTopic::error) {
                let reason = RDKafkaErrorCode::from(error);
                return Err(Down(format!("cannot use the topic {topic}: {reason}")));
            }
        }
        Ok(())
    });
    asking.await.map_err(|error| Down(error.to_string()))?
}

struct Client {
    consumer: Closing<Arc<StreamConsumer<Assignments>>>,
    producer: Closing<FutureProducer>,
    offsets: Arc<Offsets>,
    pause: Duration,
    /// The size of the events that wait, in bytes.
    waiting: AtomicUsize,
    again: UnboundedSender<Taken>,
}

/// An event, and how often it was delayed.
struct Taken {
    message: OwnedMessage,
    attempts: u32,
}

struct KafkaSubscriber {
    client: Arc<Client>,
    /// Events that have waited.
    waited: UnboundedReceiver<Taken>,
    /// The event that came while it was waited for partitions.
    first: Option<Taken>,
    /// Whether the last answer was not an error: trouble is logged once.
    works: bool,
}

impl KafkaSubscriber {
    async fn take(&mut self) -> Result<Taken, Down> {
        let consumer = Arc::clone(self.client.consumer.client()?);
        loop {
            let trouble = tokio::select! {
                Some(taken) = self.waited.recv() => {
                    self.client.waiting.fetch_sub(size(&taken.message), Ordering::Relaxed);
                    return Ok(taken);
                }
                received = consumer.recv() => match received {
                    Ok(message) => {
                        self.works = true;
                        self.client.offsets.delivered(message.topic(), message.partition(), message.offset());
                        return Ok(Taken { message: message.detach(), attempts: 0 });
                    }
                    Err(error) if is_fatal(&error) => return Err(down(error)),
                    Err(error) => error,
                },
            };
            // The client reconnects by itself.
            if std::mem::replace(&mut self.works, false) {
                tracing::warn!(reason = %trouble, "Kafka is in trouble: the platform's events wait");
            }
            sleep(PAUSE).await;
        }
    }
}

/// Whether events do not come for a reason that somebody has to see to, or no broker is there.
fn is_fatal(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(
                Code::AllBrokersDown
                    | Code::Authentication
                    | Code::SaslAuthenticationFailed
                    | Code::TopicAuthorizationFailed
                    | Code::UnknownTopic
                    | Code::UnknownTopicOrPartition
                    | Code::GroupAuthorizationFailed
                    | Code::ClusterAuthorizationFailed
            )
        )
}

impl Subscriber for KafkaSubscriber {
    fn next(&mut self) -> BoxFuture<'_, Result<Box<dyn Delivery>, Down>> {
        async {
            let first = self.first.take();
            let Taken { message, attempts } = match first {
                Some(taken) => taken,
                None => self.take().await?,
            };
            Ok(Box::new(KafkaDelivery { message, attempts, client: Arc::clone(&self.client) }) as Box<dyn Delivery>)
        }
        .boxed()
    }
}

struct KafkaDelivery {
    message: OwnedMessage,
    attempts: u32,
    client: Arc<Client>,
}

impl KafkaDelivery {
    /// Whether there is room to wait; then it is taken.
    fn may_wait(&self) -> bool {
        let size = size(&self.message);
        let fits = self.client.waiting.fetch_add(size, Ordering::Relaxed) + size <= WAITING;
        if !fits {
            self.client.waiting.fetch_sub(size, Ordering::Relaxed);
        }
        fits
    }

    /// Comes again after the pause.
    fn wait(self) {
        let (again, pause) = (self.client.again.clone(), self.client.pause);
        let taken = Taken { message: self.message, attempts: self.attempts + 1 };
        tokio::spawn(async move {
            sleep(pause).await;
            let _taken_unless_it_ended = again.send(taken);
        });
    }

    /// The dead letter is confirmed before its event is done with. If the brokers take it neither with the sender's headers
    /// nor without, the event is left behind: it must not come for ever.
    async fn dead_letter(self, refusal: Refusal) -> Result<Settled, Down> {
        let since = refusal.since();
        let further = [(REASON, refusal.reason.as_str()), (DEAD_SINCE, since.as_str()), (ORIGIN, self.message.topic())];
        let mut refused = String::new();
        for headers in [senders(&self.message), OwnedHeaders::new()] {
            let headers = further
                .iter()
                .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }));
            let record = FutureRecord::to(DEAD_LETTERS).headers(headers).payload(payload(&self.message));
            let record = record.key(self.message.key().unwrap_or_default());
            match self.client.producer.client()?.send(record, START).await {
                Ok(_) => return self.done(Settled::DeadLettered),
                Err((error, _)) if is_refusal(&error) => refused = error.to_string(),
                Err((error, _)) => return Err(down(error)),
            }
        }
        self.done(Settled::Dropped(refused))
    }

    /// Lets the offset of its partition go on. If that fails, the partition went to another process meanwhile.
    fn done(&self, outcome: Settled) -> Result<Settled, Down> {
        let message = &self.message;
        if let Some(offset) = self.client.offsets.settled(message.topic(), message.partition(), message.offset()) {
            let _stored_or_delivered_again = self.client.consumer.client()?.store_offsets(&offset);
        }
        Ok(outcome)
    }
}

fn payload(message: &OwnedMessage) -> &[u8] {
    message.payload().unwrap_or_default()
}

/// The memory that an event takes, in bytes.
fn size(message: &OwnedMessage) -> usize {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let headers = headers.map(|header| header.key.len() + header.value.unwrap_or_default().len()).sum::<usize>();
    payload(message).len() + message.key().unwrap_or_default().len() + headers + OVERHEAD
}

impl Delivery for KafkaDelivery {
    fn payload(&self) -> &[u8] {
        payload(&self.message)
    }

    fn sender(&self) -> Option<&str> {
        self.message.topic().split('.').next()
    }

    fn attempts(&self) -> u32 {
        self.attempts
    }

    fn system(&self) -> &'static str {
        "kafka"
    }

    fn traceparent(&self) -> Option<&str> {
        let mut headers = self.message.headers().into_iter().flat_map(Headers::iter);
        let sent = headers.find(|header| header.key == trace::HEADER)?;
        std::str::from_utf8(sent.value?).ok()
    }

    fn settle(self: Box<Self>, settlement: Settlement) -> BoxFuture<'static, Result<Settled, Down>> {
        async move {
            match settlement {
                Settlement::Ack => self.done(Settled::Acked),
                Settlement::Retry(_) if self.may_wait() => {
                    self.wait();
                    Ok(Settled::Delayed)
                }
                Settlement::Retry(refusal) | Settlement::Reject(refusal) => self.dead_letter(refusal).await,
            }
        }
        .boxed()
    }
}
