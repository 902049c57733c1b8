//! Publishing to RabbitMQ, many messages together.

use std::{collections::HashMap, sync::Mutex};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all},
    stream::BoxStream,
};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, Event, PublisherConfirm,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::{AMQPValue, FieldTable},
};

use super::connection::{ANSWER, PERSISTENT, answered, in_time};
use crate::{
    broker::{
        interface::{DeliveryOutcome, Down, Message, Publisher},
        names::TENANT,
    },
    telemetry::trace,
};

/// The code with which a message comes back that no queue is bound to.
const NO_ROUTE: u16 = 312;

/// A connection that publishes.
pub(super) struct RabbitPublisher {
    connection: Connection,
    channel: Channel,
    exchange: String,
    /// What happens to the connection, among it why it ended. Never locked: a stream alone could not be shared.
    events: Mutex<BoxStream<'static, Event>>,
}

impl RabbitPublisher {
    pub fn new(connection: Connection, channel: Channel, exchange: String) -> Self {
        let events = Mutex::new(connection.events_listener().boxed());
        Self { connection, channel, exchange, events }
    }

    /// The broker closes the channel over a message that it does not take, but not the connection.
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
    fn publish<'p>(&'p mut self, messages: &'p [Message]) -> BoxFuture<'p, Vec<DeliveryOutcome>> {
        async move {
            if let Err(Down(reason)) = answered(self.open_channel()).await {
                return vec![DeliveryOutcome::Unanswered(reason); messages.len()];
            }
            // Sent together: the broker confirms many messages with one write to its disk.
            let mut sent = Vec::with_capacity(messages.len());
            for message in messages {
                sent.push(self.send(message).await);
            }
            let alone = messages.len() == 1;
            outcomes(messages, join_all(sent.into_iter().map(|sent| answer(sent, alone))).await)
        }
        .boxed()
    }

    fn check(&mut self) -> Result<(), Down> {
        let mut reason = None;
        if let Ok(events) = self.events.get_mut() {
            while let Some(Some(event)) = events.next().now_or_never() {
                if let Event::Error(error) = event {
                    reason = Some(error.to_string());
                }
            }
        }
        match self.connection.status().connected() {
            true => Ok(()),
            false => Err(Down(reason.unwrap_or_else(|| "the connection is gone".to_owned()))),
        }
    }
}

/// The broker's answer to a message, or what it comes to that there is none. A closed channel is only put down to the
/// message if it was the only one under way.
async fn answer(sent: lapin::Result<PublisherConfirm>, alone: bool) -> Result<Confirmation, DeliveryOutcome> {
    match in_time(ANSWER, async { sent?.await }).await {
        Ok(Ok(Confirmation::NotRequested)) => {
            Err(DeliveryOutcome::Unanswered("the broker does not confirm".to_owned()))
        }
        Ok(Ok(confirmation)) => Ok(confirmation),
        Ok(Err(error)) if alone && error.is_amqp_soft_error() => Err(DeliveryOutcome::Refused(error.to_string())),
        Ok(Err(error)) => Err(DeliveryOutcome::Unanswered(error.to_string())),
        Err(Down(reason)) => Err(DeliveryOutcome::Unanswered(reason)),
    }
}

/// The outcomes of messages, given the answers to them. A message that comes back is known by its id: the library hands it
/// out with whichever confirmation arrives next, and one frame may confirm many messages.
fn outcomes(messages: &[Message], answers: Vec<Result<Confirmation, DeliveryOutcome>>) -> Vec<DeliveryOutcome> {
    let mut returned = HashMap::new();
    for answer in answers.iter().flatten() {
        if let Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message)) = answer
            && let Some(id) = message.properties.message_id()
        {
            let outcome = match message.reply_code {
                NO_ROUTE => DeliveryOutcome::Unrouted,
                _ => DeliveryOutcome::Refused(format!("returned: {}", message.reply_text)),
            };
            returned.insert(id.as_str().to_owned(), outcome);
        }
    }
    let outcome = |(message, answer): (&Message, Result<Confirmation, _>)| match answer {
        Ok(Confirmation::Nack(_)) => DeliveryOutcome::Refused("the broker would not keep it".to_owned()),
        Ok(_) => returned.remove(&message.id.to_string()).unwrap_or(DeliveryOutcome::Confirmed),
        Err(outcome) => outcome,
    };
    messages.iter().zip(answers).map(outcome).collect()
}
