//! What the relay and the inbound see of a broker.

use std::{fmt, time::Duration};

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
    /// It cannot be applied yet: it is delivered again after the pause of [`RetryPolicy`].
    Retry(Refusal),
    /// It cannot be applied: it becomes a dead letter.
    Reject(Refusal),
}

/// Why and when an event was not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason, which quotes nothing of the event.
    pub reason: String,
    /// When it was found.
    pub at: DateTime<Utc>,
}

impl Refusal {
    /// When it was found, as the header of a dead letter says it.
    #[must_use]
    pub fn since(&self) -> String {
        self.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
    }
}

/// What became of an event that was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The broker will not deliver it again.
    Acked,
    /// It is delivered again later.
    Delayed,
    /// It is a dead letter.
    DeadLettered,
    /// The broker would not take the dead letter, for this reason: the event was rejected without one.
    Dropped(String),
}

/// How long an event may wait for the resource that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The pause before it is tried again.
    pub pause: Duration,
    /// How often it is tried again. Counted rather than timed: no clock can make it end too early, or never.
    pub retries: u32,
}

impl Default for RetryPolicy {
    /// A minute.
    fn default() -> Self {
        Self { pause: Duration::from_secs(5), retries: 12 }
    }
}

/// A dead letter, for an operator to decide about.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The event.
    pub payload: Vec<u8>,
    /// Why it could not be applied, as its header says.
    pub reason: Option<String>,
    /// Since when it is a dead letter, as its header says.
    pub since: Option<String>,
}

/// What is done with the dead letters that are chosen. The others stay where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetterAction {
    /// They are looked at, and stay as well.
    List,
    /// They are consumed again, as if they were new.
    Retry,
    /// They are deleted.
    Delete,
}

/// Chooses dead letters, one after the other.
pub type Choose<'c> = dyn FnMut(&DeadLetter) -> bool + Send + 'c;

/// A broker.
pub trait Broker: Send + Sync {
    /// Which system it is, as the semantic conventions of OpenTelemetry name it: `messaging.system`.
    fn system(&self) -> &'static str;

    /// Connects to publish.
    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, Down>>;

    /// Connects to consume the platform's events. Where the broker routes by type, only these types are asked for. An event
    /// that is delayed comes again after `pause`.
    fn subscriber<'b>(
        &'b self,
        event_types: &'b [&'static str],
        pause: Duration,
    ) -> BoxFuture<'b, Result<Box<dyn Subscriber>, Down>>;

    /// Goes through the oldest dead letters, at most `limit`, and returns how many there were in all. Whatever happens
    /// meanwhile, none is lost: one that is retried is deleted only once the broker has it again.
    ///
    /// # Errors
    /// The broker cannot be reached, or cannot do this: then none was looked at.
    fn dead_letters<'b>(
        &'b self,
        action: DeadLetterAction,
        limit: u64,
        choose: &'b mut Choose<'_>,
    ) -> BoxFuture<'b, Result<u64, Down>>;
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
    /// Waits for the next event. It may be dropped while it waits. At most [`PREFETCH`] are to be unsettled at once.
    fn next(&mut self) -> BoxFuture<'_, Result<Box<dyn Delivery>, Down>>;

    /// Whether it ended over a message that cannot be read, which the next subscriber takes out of the queue: then nothing
    /// is wrong with the broker.
    fn ended_over_message(&mut self) -> bool {
        false
    }
}

/// An event of the platform, as it was delivered.
pub trait Delivery: Send + Sync {
    /// The event.
    fn payload(&self) -> &[u8];

    /// The system that sent it, if the broker's permissions vouch for that: the first part of the routing key or topic.
    fn sender(&self) -> Option<&str>;

    /// How often it was delayed before.
    fn attempts(&self) -> u32;

    /// Which system it came through: see [`Broker::system`].
    fn system(&self) -> &'static str;

    /// Its header `traceparent`, whatever it says.
    fn traceparent(&self) -> Option<&str>;

    /// Settles it, independently of all others.
    fn settle(self: Box<Self>, settlement: Settlement) -> BoxFuture<'static, Result<Settled, Down>>;
}
