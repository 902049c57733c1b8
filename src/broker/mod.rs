//! The broker that events are published to and consumed from.
//!
//! [`Broker`] is what the relay and the inbound see of it; [`rabbitmq`] and [`kafka`] implement it, and so do the tests, in
//! memory. [`connect()`] chooses by the configured address.

mod amqp_connection;
mod connect;
mod interface;
#[cfg(feature = "kafka")]
pub mod kafka;
mod names;
pub mod rabbitmq;

pub use connect::connect;
pub use interface::{Broker, DeliveryOutcome, Down, Message, PREFETCH, Publisher, Settlement, Subscriber};
pub use names::{DEAD_LETTERS, EVENTS, INBOUND, PLATFORM, REASON, TENANT};
