//! What the relay and the inbound see of a broker.

use std::fmt;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use uuid::Uuid;

/// Maximum number of the platform's events that are taken at once.
pub const PREFETCH: u16 = 64;

/// An event to be published.
#[derive(Debug, Clone)]
pub struct Message {
    /// The event's id.
    pub id: Uuid,
    /// The event's type.
    pub event_type: String,
    /// The tenant it belongs to.
    pub tenant: String,
    /// The resource that it is about.
    pub aggregate: Uuid,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The header `traceparent` (W3C Trace Context).
    pub traceparent: String,
    /// The event, as JSON.
    pub payload: Vec<u8>,
}

/// What the broker said to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The broker has it, as safe on disk as it promises.
    Confirmed,
    /// The broker has it, but no queue is bound to its type: nobody wants it.
    Unrouted,
    /// The broker does not take this message, for this reason.
    Refused(String),
    /// It is unknown whether the broker has it.
    Unanswered(String),
}

impl DeliveryOutcome {
    /// Why it is unknown whether the broker has the message, if it is.
    #[must_use]
    pub fn unanswered(&self) -> Option<&str> {
        match self {
            Self::Unanswered(reason) => Some(reason),
            Self::Confirmed | Self::Unrouted | Self::Refused(_) => None,
        }
    }
}

/// The broker cannot be reached, for this reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down(pub String);

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the broker is told about an event of the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It is applied, now or before.
    Ack,
    /// It cannot be applied, for this reason: it becomes a dead letter.
    Reject(String),
}

/// A broker.
pub trait Broker: Send + Sync {
    /// Connects to publish.
    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, Down>>;

    /// Connects to consume the platform's events. Where the broker routes by type, only these types are asked for.
    fn subscriber<'b>(&'b self, event_types: &'b [&'static str]) -> BoxFuture<'b, Result<Box<dyn Subscriber>, Down>>;
}

/// A connection that publishes.
pub trait Publisher: Send + Sync {
    /// Publishes messages in this order; the outcomes are in the same order. A broker that closes the connection over one of
    /// several leaves them all unanswered: which one it was shows when each is sent alone, and then it is refused.
    fn publish<'p>(&'p mut self, messages: &'p [Message]) -> BoxFuture<'p, Vec<DeliveryOutcome>>;

    /// Whether the connection is there, as far as is known without asking the broker.
    ///
    /// # Errors
    /// It is gone, for this reason.
    fn check(&mut self) -> Result<(), Down>;
}

/// A connection that consumes. Events that are not settled when it is dropped are delivered again.
pub trait Subscriber: Send {
    /// Waits for events: at least one and at most [`PREFETCH`].
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Down>>;

    /// Settles the events of the last [`Self::next`], in their order.
    fn settle(&mut self, settlements: Vec<Settlement>) -> BoxFuture<'_, Result<(), Down>>;
}
