//! The message brokers behind the relay.

#[cfg(feature = "kafka")]
mod kafka;
mod rabbitmq;
mod rabbitmq_inbound;
