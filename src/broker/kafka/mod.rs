//! Kafka, by librdkafka: an idempotent producer and one topic for all events, keyed by tenant and resource, so that the
//! events of a resource stay in order.
//!
//! Reading order: `client` what all clients share · `publisher` · `consumer` · `offsets` how far a partition is done ·
//! `dead_letters` what operators do with them.

mod client;
mod consumer;
mod dead_letters;
mod offsets;
mod publisher;

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use rdkafka::ClientConfig;

pub use self::publisher::{EVENT_ID, EVENT_TYPE};
use self::{client::down, publisher::KafkaPublisher};
use super::interface::{Broker, Choose, DeadLetterAction, Down, Publisher, Subscriber};
use crate::config::{KafkaAddress, KafkaLogin, KafkaTls};

/// How long the brokers may take to confirm a message, in milliseconds.
const CONFIRM: &str = "10000";

/// Kafka, at the addresses of its first brokers.
pub struct Kafka {
    address: KafkaAddress,
}

impl Kafka {
    /// The brokers at this address: without TLS, where it is only `host:port,…`.
    #[must_use]
    pub fn new(address: impl Into<KafkaAddress>) -> Self {
        Self { address: address.into() }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address.brokers).set("client.id", "crm");
        if let Some(KafkaTls { ca_file, login }) = &self.address.tls {
            // Where no file is named, the places are looked through where systems keep theirs.
            let ca_file = ca_file.as_ref().map_or("probe".into(), |file| file.path().to_string_lossy());
            config.set("security.protocol", "ssl").set("ssl.ca.location", ca_file);
            if let Some(KafkaLogin { user, password, mechanism }) = login {
                config.set("security.protocol", "sasl_ssl").set("sasl.mechanisms", *mechanism);
                config.set("sasl.username", user).set("sasl.password", password.reveal());
            }
        }
        config
    }

    fn producing(&self) -> ClientConfig {
        let mut config = self.config();
        config.set("enable.idempotence", "true").set("message.timeout.ms", CONFIRM);
        config
    }
}

impl Broker for Kafka {
    fn system(&self) -> &'static str {
        "kafka"
    }

    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, Down>> {
        let publisher = KafkaPublisher::new(&self.producing()).map_err(down);
        async { Ok(Box::new(publisher?) as Box<dyn Publisher>) }.boxed()
    }

    /// The topics hold events of all types.
    fn subscriber<'b>(
        &'b self,
        _event_types: &'b [&'static str],
        pause: Duration,
    ) -> BoxFuture<'b, Result<Box<dyn Subscriber>, Down>> {
        consumer::subscribe(self.config(), self.producing(), pause).boxed()
    }

    fn dead_letters<'b>(
        &'b self,
        action: DeadLetterAction,
        limit: u64,
        choose: &'b mut Choose<'_>,
    ) -> BoxFuture<'b, Result<u64, Down>> {
        dead_letters::visit(self.config(), self.producing(), action, limit, choose).boxed()
    }
}
