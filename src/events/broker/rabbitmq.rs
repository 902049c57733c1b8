//! RabbitMQ, by AMQP 0-9-1: durable topic exchanges, persistent messages, publisher confirms with `mandatory`, manual
//! acknowledgement.

use std::time::Duration;

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all},
};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind, ExchangeKind,
    PublisherConfirm,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};

use super::{
    Broker, DEAD, Down, EVENTS, INBOUND, Message, Outcome, PLATFORM, PREFETCH, Publisher, REASON, Settlement,
    Subscriber, TENANT,
};
use crate::{config::Secret, events::inbound, telemetry::trace};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the broker may take to confirm what was published, and to answer anything else.
const CONFIRM: Duration = Duration::from_secs(10);
/// `delivery_mode` of a message that outlives the broker's restart.
const PERSISTENT: u8 = 2;

/// RabbitMQ at an address.
pub struct RabbitMq {
    url: Secret,
    prefix: String,
}

impl RabbitMq {
    /// The broker at this address; `prefix` stands before the names of all exchanges and queues (a test's own).
    #[must_use]
    pub fn new(url: Secret, prefix: String) -> Self {
        Self { url, prefix }
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn connect(&self) -> lapin::Result<(Connection, Channel)> {
        let properties = ConnectionProperties::default().with_connection_name("crm".into());
        let connection = Connection::connect(self.url.reveal(), properties).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok((connection, channel))
    }

    async fn publishing(&self) -> lapin::Result<RabbitPublisher> {
        let (connection, channel) = self.connect().await?;
        declare_exchange(&channel, &self.name(EVENTS)).await?;
        Ok(RabbitPublisher { connection, channel, exchange: self.name(EVENTS) })
    }

    async fn subscribing(&self) -> lapin::Result<RabbitSubscriber> {
        let (connection, channel) = self.connect().await?;
        let (platform, inbound, dead) = (self.name(PLATFORM), self.name(INBOUND), self.name(DEAD));
        declare_exchange(&channel, &platform).await?;
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        for queue in [&inbound, &dead] {
            channel.queue_declare(queue.as_str().into(), durable, FieldTable::default()).await?;
        }
        for event_type in inbound::TYPES {
            let (queue, exchange) = (inbound.as_str().into(), platform.as_str().into());
            let bind = QueueBindOptions::default();
            channel.queue_bind(queue, exchange, event_type.into(), bind, FieldTable::default()).await?;
        }
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let consume = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(inbound.into(), "".into(), consume, FieldTable::default()).await?;
        Ok(RabbitSubscriber { _connection: connection, channel, consumer, dead, taken: Vec::new() })
    }
}

impl Broker for RabbitMq {
    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, Down>> {
        async { Ok(Box::new(in_time(CONNECT, self.publishing()).await?) as Box<dyn Publisher>) }.boxed()
    }

    fn subscriber(&self) -> BoxFuture<'_, Result<Box<dyn Subscriber>, Down>> {
        async { Ok(Box::new(in_time(CONNECT, self.subscribing()).await?) as Box<dyn Subscriber>) }.boxed()
    }
}

async fn declare_exchange(channel: &Channel, name: &str) -> lapin::Result<()> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(name.into(), ExchangeKind::Topic, durable, FieldTable::default()).await
}

async fn in_time<T>(patience: Duration, work: impl Future<Output = lapin::Result<T>>) -> Result<T, Down> {
    match tokio::time::timeout(patience, work).await {
        Ok(outcome) => outcome.map_err(|error| Down(error.to_string())),
        Err(_) => Err(Down("the broker did not answer in time".to_owned())),
    }
}

struct RabbitPublisher {
    connection: Connection,
    channel: Channel,
    exchange: String,
}

impl RabbitPublisher {
    /// The broker closes a channel on which it got what it will not have; the connection lives on.
    async fn open_channel(&mut self) -> lapin::Result<()> {
        if !self.channel.status().connected() {
            self.channel = self.connection.create_channel().await?;
            self.channel.confirm_select(ConfirmSelectOptions::default()).await?;
        }
        Ok(())
    }

    async fn send(&self, message: &Message) -> lapin::Result<PublisherConfirm> {
        let mut headers = FieldTable::default();
        for (name, value) in [(TENANT, &message.tenant), (trace::HEADER, &message.traceparent)] {
            headers.insert(name.into(), AMQPValue::LongString(value.as_str().into()));
        }
        let properties = BasicProperties::default()
            .with_message_id(message.id.to_string().into())
            .with_type(message.event_type.as_str().into())
            .with_app_id("crm".into())
            .with_content_type("application/json".into())
            .with_delivery_mode(PERSISTENT)
            .with_timestamp(message.at.timestamp().unsigned_abs())
            .with_headers(headers);
        let (exchange, key) = (self.exchange.as_str().into(), message.event_type.as_str().into());
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        self.channel.basic_publish(exchange, key, mandatory, &message.payload, properties).await
    }
}

impl Publisher for RabbitPublisher {
    fn publish<'p>(&'p mut self, messages: &'p [Message]) -> BoxFuture<'p, Vec<Outcome>> {
        async move {
            if let Err(Down(reason)) = in_time(CONFIRM, self.open_channel()).await {
                return vec![Outcome::Unanswered(reason); messages.len()];
            }
            // All are sent before the first confirmation is awaited: the broker confirms many with one write to its disk.
            let mut sent = Vec::with_capacity(messages.len());
            for message in messages {
                sent.push(self.send(message).await);
            }
            let alone = messages.len() == 1;
            join_all(sent.into_iter().map(|sent| outcome(sent, alone))).await
        }
        .boxed()
    }
}

/// What came of a message that was sent. Where the broker closes the channel over what it got, it is to blame if it was
/// alone on its way.
async fn outcome(sent: lapin::Result<PublisherConfirm>, alone: bool) -> Outcome {
    match tokio::time::timeout(CONFIRM, async { sent?.await }).await {
        Ok(Ok(Confirmation::Ack(None))) => Outcome::Confirmed,
        Ok(Ok(Confirmation::Ack(Some(returned)))) => Outcome::Refused(format!("returned: {}", returned.reply_text)),
        Ok(Ok(Confirmation::Nack(_))) => Outcome::Refused("the broker would not keep it".to_owned()),
        Ok(Ok(Confirmation::NotRequested)) => Outcome::Unanswered("the broker does not confirm".to_owned()),
        Ok(Err(error)) if alone && error.is_amqp_soft_error() => Outcome::Refused(error.to_string()),
        Ok(Err(error)) => Outcome::Unanswered(error.to_string()),
        Err(_) => Outcome::Unanswered("the broker did not confirm in time".to_owned()),
    }
}

struct RabbitSubscriber {
    /// Closed when dropped, with its channel.
    _connection: Connection,
    channel: Channel,
    consumer: Consumer,
    dead: String,
    taken: Vec<Delivery>,
}

impl RabbitSubscriber {
    async fn take(&mut self) -> lapin::Result<()> {
        self.taken.clear();
        let ended = || lapin::Error::from(ErrorKind::InvalidConnectionState(lapin::ConnectionState::Closed));
        self.taken.push(self.consumer.next().await.ok_or_else(ended)??);
        while self.taken.len() < usize::from(PREFETCH)
            && let Some(Some(delivery)) = self.consumer.next().now_or_never()
        {
            self.taken.push(delivery?);
        }
        Ok(())
    }

    /// Kept in the other queue before it is acknowledged in this one: it may come to stand there twice, but is never lost.
    async fn bury(&self, delivery: &Delivery, reason: String) -> lapin::Result<()> {
        let mut headers = delivery.properties.headers().clone().unwrap_or_default();
        headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
        let properties = delivery.properties.clone().with_headers(headers).with_delivery_mode(PERSISTENT);
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let queue = self.dead.as_str().into();
        let sent = self.channel.basic_publish("".into(), queue, mandatory, &delivery.data, properties).await?;
        match sent.await? {
            Confirmation::Ack(None) => Ok(()),
            _ => Err(ErrorKind::InvalidConnectionState(lapin::ConnectionState::Error).into()),
        }
    }

    async fn settle_all(&mut self, settlements: Vec<Settlement>) -> lapin::Result<()> {
        for (delivery, settlement) in std::mem::take(&mut self.taken).into_iter().zip(settlements) {
            if let Settlement::Dead(reason) = settlement {
                self.bury(&delivery, reason).await?;
            }
            delivery.ack(BasicAckOptions::default()).await?;
        }
        Ok(())
    }
}

impl Subscriber for RabbitSubscriber {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Down>> {
        async {
            self.take().await.map_err(|error| Down(error.to_string()))?;
            Ok(self.taken.iter().map(|delivery| delivery.data.to_vec()).collect())
        }
        .boxed()
    }

    fn settle(&mut self, settlements: Vec<Settlement>) -> BoxFuture<'_, Result<(), Down>> {
        in_time(CONFIRM, self.settle_all(settlements)).boxed()
    }
}
