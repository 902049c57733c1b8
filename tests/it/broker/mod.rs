//! The message brokers behind the relay.

#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "kafka")]
mod kafka_inbound;
#[cfg(feature = "kafka-tls")]
mod kafka_tls;
mod rabbitmq;
mod rabbitmq_inbound;
mod rabbitmq_losses;
mod rabbitmq_tls;
