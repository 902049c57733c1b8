//! The broker that events are published to and consumed from.

use std::str::FromStr;

use super::{
    secret::Secret,
    variables::{Variables, on_or_off},
};

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventsUrl {
    /// RabbitMQ, at an AMQP 0-9-1 address, which may hold a password.
    Amqp(Secret),
    /// Kafka: its first brokers, `host:port,…`.
    #[cfg(feature = "kafka")]
    Kafka(String),
}

impl FromStr for EventsUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        match url.split_once("://") {
            // The library's error is not repeated: it may hold a password.
            Some(("amqp", _)) if url.parse::<lapin::uri::AMQPUri>().is_ok() => {
                Ok(Self::Amqp(Secret::new(url.to_owned())))
            }
            #[cfg(feature = "kafka")]
            Some(("kafka", brokers)) if brokers.split(',').all(is_address) => Ok(Self::Kafka(brokers.to_owned())),
            #[cfg(not(feature = "kafka"))]
            Some(("kafka", _)) => Err("this program was built without the feature kafka".to_owned()),
            _ => Err("must be amqp://USER:PASSWORD@HOST:PORT/VHOST or kafka://HOST:PORT,…".to_owned()),
        }
    }
}

#[cfg(feature = "kafka")]
fn is_address(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && !host.contains(['/', '@']) && port.parse::<u16>().is_ok())
}

/// As read: `None` after a mistake.
pub(super) struct Events {
    /// Also `None` where it is not set.
    pub(super) url: Option<EventsUrl>,
    pub(super) relay: Option<bool>,
}

impl Events {
    pub(super) fn read(env: &mut Variables<'_>) -> Self {
        Self {
            url: env.optional(
                "CRM_EVENTS_URL",
                "broker for events: amqp://USER:PASSWORD@HOST/VHOST or kafka://HOST:PORT; without it they are read over \
                 HTTP",
                str::parse,
            ),
            relay: env.value(
                "CRM_EVENTS_RELAY",
                "on",
                "crm serve speaks to the broker (on), or leaves that to crm relay (off)",
                on_or_off,
            ),
        }
    }
}
