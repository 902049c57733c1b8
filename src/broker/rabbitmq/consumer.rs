//! Consuming from RabbitMQ: manual acknowledgement, each event for itself · a queue where events wait · dead letters.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use lapin::{
    Connection, Consumer,
    message::Delivery as Message,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions},
    types::{AMQPValue, FieldTable},
};

use super::{
    connection::{ANSWER, down, in_time},
    side_channel::{Answer, Connector, Header, SideChannel, attempts, bare, header, properties, text},
    topology::{Queues, SharedState, declare},
    unreadable::{is_unreadable, take_out},
};
use crate::{
    broker::{
        interface::{Delivery, Down, PREFETCH, Refusal, Settled, Settlement, Subscriber},
        names::{ATTEMPTS, DEAD_SINCE, ORIGIN, REASON},
    },
    telemetry::trace,
};

/// Declares what there is to declare, and subscribes.
pub(super) async fn subscribe(
    connect: Connector,
    queues: Queues,
    event_types: &[&'static str],
    pause: Duration,
    shared: &Arc<SharedState>,
) -> Result<Box<dyn Subscriber>, Down> {
    if shared.unreadable.swap(false, Ordering::Relaxed) {
        take_out(&connect, &queues.inbound).await?;
    }
    Ok(Box::new(in_time(ANSWER, start(connect, queues, event_types, pause, shared)).await??))
}

async fn start(
    connect: Connector,
    mut queues: Queues,
    event_types: &[&'static str],
    pause: Duration,
    shared: &Arc<SharedState>,
) -> Result<RabbitSubscriber, Down> {
    let (connection, _) = connect().await.map_err(|error| Down(format!("cannot connect: {error}")))?;
    declare(&connection, &mut queues, event_types, pause, shared).await?;
    let consuming = async {
        let channel = connection.create_channel().await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let (queue, consume) = (queues.inbound.as_str().into(), BasicConsumeOptions::default());
        channel.basic_consume(queue, "".into(), consume, FieldTable::default()).await
    };
    let consumer: Consumer =
        consuming.await.map_err(|error: lapin::Error| Down(format!("cannot consume {}: {error}", queues.inbound)))?;
    let elsewhere = Arc::new(Elsewhere { queues, side_channel: SideChannel::new(connect) });
    Ok(RabbitSubscriber { _connection: connection, consumer, elsewhere, shared: Arc::clone(shared) })
}

/// Where events go that are not applied.
struct Elsewhere {
    queues: Queues,
    side_channel: SideChannel,
}

struct RabbitSubscriber {
    /// Closed when dropped, with its channels.
    _connection: Connection,
    consumer: Consumer,
    elsewhere: Arc<Elsewhere>,
    shared: Arc<SharedState>,
}

impl Subscriber for RabbitSubscriber {
    fn next(&mut self) -> BoxFuture<'_, Result<Box<dyn Delivery>, Down>> {
        async {
            match self.consumer.next().await {
                Some(Ok(message)) => {
                    let elsewhere = Arc::clone(&self.elsewhere);
                    Ok(Box::new(RabbitDelivery { message, elsewhere }) as Box<dyn Delivery>)
                }
                Some(Err(error)) => {
                    // The next subscriber has to see to it first.
                    self.shared.unreadable.fetch_or(is_unreadable(&error), Ordering::Relaxed);
                    Err(down(error))
                }
                None => Err(Down("the broker ended the subscription".to_owned())),
            }
        }
        .boxed()
    }

    /// An event that could not be settled any more may have told of the end first.
    fn ended_over_message(&mut self) -> bool {
        while let Some(Some(next)) = self.consumer.next().now_or_never() {
            self.shared.unreadable.fetch_or(next.is_err_and(|error| is_unreadable(&error)), Ordering::Relaxed);
        }
        self.shared.unreadable.load(Ordering::Relaxed)
    }
}

struct RabbitDelivery {
    message: Message,
    elsewhere: Arc<Elsewhere>,
}

impl RabbitDelivery {
    /// The routing key that the sender published it with. Only what comes from the platform's exchange, or was published again by
    /// this service, is under the permissions of a sender.
    fn origin(&self) -> Option<&str> {
        match self.message.exchange.as_str() {
            exchange if exchange == self.elsewhere.queues.platform => Some(self.message.routing_key.as_str()),
            "" => text(&self.message, ORIGIN),
            _ => None,
        }
    }

    /// The header that keeps the origin.
    fn origin_header(&self) -> Option<Header> {
        self.origin().map(|origin| header(ORIGIN, origin))
    }

    async fn delay(&self) -> Result<Answer, Down> {
        let attempts = (ATTEMPTS, AMQPValue::LongLongInt(i64::from(attempts(&self.message)) + 1));
        let properties = properties(&self.message, self.origin_header().into_iter().chain([attempts]));
        let Elsewhere { queues, side_channel } = &*self.elsewhere;
        side_channel.publish(&queues.retries, &self.message.data, properties).await
    }

    /// The dead letter is confirmed before its event is acknowledged: a fault in between leaves two of them, but never none.
    /// If the broker takes it neither with what came along nor without, the event goes alone: it must not come for ever.
    async fn dead_letter(&self, refusal: Refusal) -> Result<Settled, Down> {
        let since = refusal.since();
        let further =
            || self.origin_header().into_iter().chain([header(REASON, &refusal.reason), header(DEAD_SINCE, &since)]);
        let Elsewhere { queues, side_channel } = &*self.elsewhere;
        let mut refused = String::new();
        for properties in [properties(&self.message, further()), bare(FieldTable::default(), further())] {
            match side_channel.publish(&queues.dead_letters, &self.message.data, properties).await? {
                Answer::Taken => return self.ack(Settled::DeadLettered).await,
                Answer::Refused(reason) => refused = reason,
            }
        }
        let rejected = self.message.reject(BasicRejectOptions { requeue: false }).await;
        settled(rejected, Settled::Dropped(refused))
    }

    async fn ack(&self, outcome: Settled) -> Result<Settled, Down> {
        settled(self.message.ack(BasicAckOptions::default()).await, outcome)
    }
}

/// The outcome, unless the connection is gone: then the event comes again.
fn settled(answer: lapin::Result<bool>, outcome: Settled) -> Result<Settled, Down> {
    match answer {
        Ok(true) => Ok(outcome),
        Ok(false) => Err(Down("the connection was lost before the event was settled".to_owned())),
        Err(error) => Err(down(error)),
    }
}

impl Delivery for RabbitDelivery {
    fn payload(&self) -> &[u8] {
        &self.message.data
    }

    fn sender(&self) -> Option<&str> {
        self.origin()?.split('.').next()
    }

    fn attempts(&self) -> u32 {
        attempts(&self.message)
    }

    fn system(&self) -> &'static str {
        "rabbitmq"
    }

    fn traceparent(&self) -> Option<&str> {
        text(&self.message, trace::HEADER)
    }

    fn settle(self: Box<Self>, settlement: Settlement) -> BoxFuture<'static, Result<Settled, Down>> {
        async move {
            match settlement {
                Settlement::Ack => self.ack(Settled::Acked).await,
                Settlement::Reject(refusal) => self.dead_letter(refusal).await,
                Settlement::Retry(refusal) => match self.delay().await? {
                    Answer::Taken => self.ack(Settled::Delayed).await,
                    Answer::Refused(_) => self.dead_letter(refusal).await,
                },
            }
        }
        .boxed()
    }
}
