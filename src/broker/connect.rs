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
        EventsUrl::Amqp(address) => {
            Arc::new(RabbitMq::new(address.url.clone(), String::new()).trusting(address.ca_file.clone()))
        }
        #[cfg(feature = "kafka")]
        EventsUrl::Kafka(address) => Arc::new(Kafka::new(address.clone())),
    }
}
