//! From the configured address to the broker.

use std::sync::Arc;

#[cfg(feature = "kafka")]
use super::kafka::Kafka;
use super::{interface::Broker, rabbitmq::RabbitMq};
use crate::config::EventsUrl;

/// The broker at this address. Connects only when a publisher or subscriber is asked for.
#[must_use]
pub fn connect(url: &EventsUrl) -> Arc<dyn Broker> {
    match url {
        EventsUrl::Amqp(url) => Arc::new(RabbitMq::new(url.clone(), String::new())),
        #[cfg(feature = "kafka")]
        EventsUrl::Kafka(brokers) => Arc::new(Kafka::new(brokers.clone())),
    }
}
