//! A broker, as the relay and the inbound see it: what is sent to it and what came of that, what comes from it and how that
//! ends. [`rabbitmq`] and [`kafka`] are the real ones; the one in memory lives in the tests.

#[cfg(feature = "kafka")]
pub mod kafka;
pub mod rabbitmq;

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use uuid::Uuid;

#[cfg(feature = "kafka")]
use self::kafka::Kafka;
use self::rabbitmq::RabbitMq;
use crate::config::EventsUrl;

/// Where events are published: an exchange, or a topic.
pub const EVENTS: &str = "crm.events";
/// Where the platform publishes its events: an exchange; to Kafka other topics.
pub const PLATFORM: &str = "platform.events";
/// The queue of the platform's events that are for this service. Also its name as a consumer, in the inbox and to Kafka.
pub const INBOUND: &str = "crm.inbound";
/// Where the events go that cannot be applied: a queue, or a topic.
pub const DEAD: &str = "crm.inbound.dlq";
/// The header of an event that could not be applied, with the reason.
pub const REASON: &str = "x-reason";
/// The header that names the tenant.
pub const TENANT: &str = "x-tenant-id";
/// The most events of the platform that are taken at once.
pub const PREFETCH: u16 = 64;

/// An event on its way to the broker.
#[derive(Debug, Clone)]
pub struct Message {
    /// The event's id.
    pub id: Uuid,
    /// The event's type.
    pub event_type: String,
    /// The tenant it belongs to.
    pub tenant: String,
    /// The resource it tells of.
    pub aggregate: Uuid,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The header `traceparent` (W3C Trace Context).
    pub traceparent: String,
    /// The event, as JSON.
    pub payload: Vec<u8>,
}

/// What came of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The broker has it, safe on disk as far as it promises that.
    Confirmed,
    /// The broker will not take this one: it says why.
    Refused(String),
    /// Nobody knows: the broker may have it or not.
    Unanswered(String),
}

/// The broker cannot be spoken to at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down(pub String);

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How an event of the platform ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It is applied, now or before.
    Done,
    /// It cannot be applied, for this reason.
    Dead(String),
}

/// A broker.
pub trait Broker: Send + Sync {
    /// Connects, to publish.
    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, Down>>;

    /// Connects, to take the platform's events.
    fn subscriber(&self) -> BoxFuture<'_, Result<Box<dyn Subscriber>, Down>>;
}

/// A connection that publishes.
pub trait Publisher: Send + Sync {
    /// Publishes messages, in this order, and says what came of each, in the same order. A broker that ends the connection
    /// over one of several leaves all unanswered; where it does so over a single one, that one is refused.
    fn publish<'p>(&'p mut self, messages: &'p [Message]) -> BoxFuture<'p, Vec<Outcome>>;
}

/// A connection that takes events. What was not settled when it is dropped comes again.
pub trait Subscriber: Send {
    /// Waits for events and gives what is there, at least one and at most [`PREFETCH`].
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Down>>;

    /// Settles what [`Self::next`] gave last, in its order.
    fn settle(&mut self, settlements: Vec<Settlement>) -> BoxFuture<'_, Result<(), Down>>;
}

/// The broker at this address. Does not connect yet.
#[must_use]
pub fn at(url: &EventsUrl) -> Arc<dyn Broker> {
    match url {
        EventsUrl::Amqp(url) => Arc::new(RabbitMq::new(url.clone(), String::new())),
        #[cfg(feature = "kafka")]
        EventsUrl::Kafka(brokers) => Arc::new(Kafka::new(brokers.clone())),
    }
}
