//! Where events are put that are not applied: a connection of its own, so that a message over which the broker closes it does
//! not take the acknowledgements of others along.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection,
    message::Delivery,
    options::BasicPublishOptions,
    types::{AMQPValue, FieldTable},
};
use tokio::{sync::RwLock, time::timeout};

use super::{
    interface::Down,
    names::{ATTEMPTS, DEAD_SINCE, ORIGIN, REASON},
};

/// Opens a connection, and a channel of it that confirms.
pub(super) type Connector = Arc<dyn Fn() -> BoxFuture<'static, lapin::Result<(Connection, Channel)>> + Send + Sync>;

/// How long the broker may take to connect, and to confirm a message.
const PATIENCE: Duration = Duration::from_secs(10);
/// The `delivery_mode` of messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;
/// Maximum size of a header that is passed on, in bytes.
const HEADER: usize = 1024;
/// Maximum size of all that are passed on, in bytes, whatever the broker's frames may hold.
const HEADERS: usize = 16_384;
/// Headers that the broker acts upon: copies to other queues, and the way that the message took.
const ACTIVE: [&str; 2] = ["CC", "BCC"];
const DEATHS: [&str; 3] = ["x-death", "x-first-death-", "x-last-death-"];

/// What the broker answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// It has the message.
    Taken,
    /// It does not take this message, for this reason.
    Refused(String),
}

pub(super) struct Aside {
    connect: Connector,
    link: RwLock<Option<(Connection, Channel)>>,
}

impl Aside {
    pub fn new(connect: Connector) -> Self {
        Self { connect, link: RwLock::new(None) }
    }

    /// Publishes to a queue. First together with others, because the broker confirms many with one write to its disk; if that
    /// fails, alone, because then a closed connection is the fault of this message.
    pub async fn publish(&self, queue: &str, data: &[u8], properties: BasicProperties) -> Result<Answer, Down> {
        {
            let link = self.link.read().await;
            if let Some((_, channel)) = link.as_ref().filter(|(_, channel)| channel.status().connected())
                && let Ok(confirmation) = in_time(send(channel, queue, data, properties.clone())).await?
            {
                return answer(queue, confirmation);
            }
        }
        let mut link = self.link.write().await;
        let open = link.take().filter(|(_, channel)| channel.status().connected());
        let (connection, channel) = match open {
            Some(open) => open,
            None => in_time((self.connect)()).await?.map_err(|error| Down(error.to_string()))?,
        };
        match in_time(send(&channel, queue, data, properties)).await? {
            Ok(confirmation) => {
                *link = Some((connection, channel));
                answer(queue, confirmation)
            }
            Err(error) => Ok(Answer::Refused(error.to_string())),
        }
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, Down> {
    timeout(PATIENCE, work).await.map_err(|_| Down("the broker did not answer in time".to_owned()))
}

async fn send(channel: &Channel, queue: &str, data: &[u8], properties: BasicProperties) -> lapin::Result<Confirmation> {
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel.basic_publish("".into(), queue.into(), mandatory, data, properties).await?.await
}

fn answer(queue: &str, confirmation: Confirmation) -> Result<Answer, Down> {
    match confirmation {
        Confirmation::Ack(None) => Ok(Answer::Taken),
        // It was there at the start, and is declared again at the next.
        Confirmation::Ack(Some(_)) => Err(Down(format!("the queue {queue} is gone"))),
        Confirmation::Nack(_) => Ok(Answer::Refused("the broker would not keep it".to_owned())),
        Confirmation::NotRequested => Err(Down("the broker does not confirm".to_owned())),
    }
}

/// A header's text, if it has one.
pub(super) fn text<'d>(delivery: &'d Delivery, name: &str) -> Option<&'d str> {
    match delivery.properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    }
}

/// How often an event was put off.
pub(super) fn attempts(delivery: &Delivery) -> u32 {
    let headers = delivery.properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get(ATTEMPTS)) {
        Some(AMQPValue::LongLongInt(count)) => u32::try_from(*count).unwrap_or_default(),
        _ => 0,
    }
}

/// The properties of an event that is put elsewhere, with further headers. Of the sender's, only what the broker does not
/// act upon is passed on (no expiry, no user, no copies), and of its headers only small ones: a frame has to hold them.
pub(super) fn properties(delivery: &Delivery, further: impl IntoIterator<Item = Header>) -> BasicProperties {
    let from = &delivery.properties;
    let mut to = bare(passed_on(from), further);
    if let Some(id) = from.message_id() {
        to = to.with_message_id(id.clone());
    }
    if let Some(content_type) = from.content_type() {
        to = to.with_content_type(content_type.clone());
    }
    if let Some(timestamp) = from.timestamp() {
        to = to.with_timestamp(*timestamp);
    }
    to
}

/// A header's name and value.
pub(super) type Header = (&'static str, AMQPValue);

/// A header with a text.
pub(super) fn header(name: &'static str, text: &str) -> Header {
    (name, AMQPValue::LongString(text.into()))
}

/// The same with these headers, and with nothing of the sender's properties.
pub(super) fn bare(mut headers: FieldTable, further: impl IntoIterator<Item = Header>) -> BasicProperties {
    for (name, value) in further {
        headers.insert(name.into(), value);
    }
    BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers)
}

fn passed_on(from: &BasicProperties) -> FieldTable {
    let mut headers = FieldTable::default();
    let mut size = 0;
    for (name, value) in from.headers().iter().flat_map(FieldTable::inner) {
        let length = match value {
            AMQPValue::LongString(text) => text.as_bytes().len(),
            AMQPValue::Boolean(_) | AMQPValue::LongInt(_) | AMQPValue::LongLongInt(_) => 8,
            _ => continue,
        };
        let text = name.as_str();
        let ours = [REASON, DEAD_SINCE, ORIGIN, ATTEMPTS].contains(&text);
        let active = ACTIVE.contains(&text) || DEATHS.iter().any(|death| text.starts_with(death));
        size += text.len() + length;
        if length <= HEADER && size <= HEADERS && !ours && !active {
            headers.insert(name.clone(), value.clone());
        }
    }
    headers
}
