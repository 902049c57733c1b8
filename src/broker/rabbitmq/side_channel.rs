//! Where events are published that are not applied: a connection of its own, so that a message over which the broker closes it
//! does not take the acknowledgements of others along.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, Error, ErrorKind,
    message::Delivery,
    options::BasicPublishOptions,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
    types::{AMQPValue, FieldTable},
};
use tokio::sync::Mutex;

use super::connection::{ANSWER, PERSISTENT, answered, down, in_time};
use crate::broker::{
    interface::Down,
    names::{ATTEMPTS, DEAD_SINCE, ORIGIN, REASON},
};

/// Opens a connection, and a channel of it that confirms.
pub(super) type Connector = Arc<dyn Fn() -> BoxFuture<'static, lapin::Result<(Connection, Channel)>> + Send + Sync>;

/// How many connections in a row may be lost while a message is under way, until that is put down to the message.
const LOSSES: usize = 3;
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

pub(super) struct SideChannel {
    connect: Connector,
    link: Mutex<Option<(Connection, Channel)>>,
}

impl SideChannel {
    pub fn new(connect: Connector) -> Self {
        Self { connect, link: Mutex::new(None) }
    }

    /// Publishes to a queue, one message at a time: the library hands out a message that comes back with whichever
    /// confirmation arrives next, and a closed connection tells nothing of which message it is the fault of.
    pub async fn publish(&self, queue: &str, data: &[u8], properties: BasicProperties) -> Result<Answer, Down> {
        let mut link = self.link.lock().await;
        let mut lost = String::new();
        for _ in 0..LOSSES {
            // Not put back unless there is an answer: a late one would be taken for that to the next message.
            let (connection, channel) = match link.take().filter(|(_, channel)| channel.status().connected()) {
                Some(open) => open,
                None => answered((self.connect)()).await?,
            };
            match in_time(ANSWER, send(&channel, queue, data, properties.clone())).await? {
                Ok(confirmation) => {
                    *link = Some((connection, channel));
                    return answer(queue, confirmation);
                }
                Err(error) => match blame(&error) {
                    Blame::Message => return Ok(Answer::Refused(error.to_string())),
                    Blame::Unclear => lost = error.to_string(),
                    Blame::Broker => return Err(down(error)),
                },
            }
        }
        Ok(Answer::Refused(lost))
    }
}

async fn send(channel: &Channel, queue: &str, data: &[u8], properties: BasicProperties) -> lapin::Result<Confirmation> {
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel.basic_publish("".into(), queue.into(), mandatory, data, properties).await?.await
}

/// What an error is put down to.
enum Blame {
    /// The broker says that it does not take this message.
    Message,
    /// The connection was lost: by chance, or because the broker no longer read when it said why.
    Unclear,
    /// It is about to stop, out of resources, or does not let this service in.
    Broker,
}

fn blame(error: &Error) -> Blame {
    use AMQPErrorKind::{Hard, Soft};
    use AMQPHardError as Closing;
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            Soft(AMQPSoftError::ACCESSREFUSED | AMQPSoftError::NOTFOUND | AMQPSoftError::RESOURCELOCKED) => {
                Blame::Broker
            }
            Soft(_) | Hard(Closing::FRAMEERROR | Closing::NOTALLOWED | Closing::NOTIMPLEMENTED) => Blame::Message,
            // It stumbled over something.
            Hard(Closing::INTERNALERROR | Closing::SYNTAXERROR) => Blame::Unclear,
            Hard(_) => Blame::Broker,
        },
        ErrorKind::IOError(_) | ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidConnectionState(_) => {
            Blame::Unclear
        }
        _ => Blame::Broker,
    }
}

fn answer(queue: &str, confirmation: Confirmation) -> Result<Answer, Down> {
    match confirmation {
        Confirmation::Ack(None) => Ok(Answer::Taken),
        // It came back. The queue was there at the start, and is declared again at the next.
        Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => Err(Down(format!("the queue {queue} is gone"))),
        Confirmation::Nack(None) => Ok(Answer::Refused("the broker would not keep it".to_owned())),
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

/// How often an event was delayed.
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
