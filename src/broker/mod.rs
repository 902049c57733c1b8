//! The broker that events are published to and consumed from.
//!
//! [`Broker`] is what the relay and the inbound see of it; [`rabbitmq`] and [`kafka`] implement it, and so do the tests, in
//! memory. [`connect()`] chooses by the configured address.
//!
//! Each has its publisher and its connection in the file of its name, and beside it: `…_inbound` the subscriber ·
//! `…_dead_letters` what operators do with dead letters · `kafka_offsets` how far a partition is done ·
//! `rabbitmq_topology` what is declared and bound ·
//! `rabbitmq_aside` where events are put that are not applied · `rabbitmq_unreadable` what no client can read.

mod amqp_connection;
mod connect;
mod interface;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "kafka")]
mod kafka_client;
#[cfg(feature = "kafka")]
mod kafka_dead_letters;
#[cfg(feature = "kafka")]
mod kafka_inbound;
#[cfg(feature = "kafka")]
mod kafka_offsets;
mod names;
pub mod rabbitmq;
mod rabbitmq_aside;
mod rabbitmq_dead_letters;
mod rabbitmq_inbound;
mod rabbitmq_topology;
mod rabbitmq_unreadable;

pub use connect::connect;
pub use interface::{
    Broker, Choose, DeadLetter, DeadLetterAction, Delivery, DeliveryOutcome, Down, Message, PREFETCH, Patience,
    Publisher, Refusal, Settled, Settlement, Subscriber,
};
pub use names::{ATTEMPTS, DEAD_LETTERS, DEAD_SINCE, EVENTS, INBOUND, ORIGIN, PLATFORM, REASON, RETRIES, TENANT};
