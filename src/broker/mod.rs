//! The broker that events are published to and consumed from.
//!
//! [`Broker`] is what the relay and the inbound see of it; [`rabbitmq`] and [`kafka`] implement it, and so do the tests, in
//! memory. [`connect()`] chooses by the configured address.

mod connect;
mod interface;
#[cfg(feature = "kafka")]
pub mod kafka;
mod names;
pub mod rabbitmq;

pub use connect::connect;
pub use interface::{
    Broker, Choose, DeadLetter, DeadLetterAction, Delivery, DeliveryOutcome, Down, Message, PREFETCH, Publisher,
    Refusal, RetryPolicy, Settled, Settlement, Subscriber,
};
pub use names::{
    ATTEMPTS, DEAD_LETTERS, DEAD_SINCE, EVENTS, INBOUND, ORIGIN, PLATFORM, PLATFORM_TOPICS, REASON, RETRIES, TENANT,
};
