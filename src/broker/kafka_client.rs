//! What the clients of Kafka share.

use rdkafka::{ClientConfig, error::KafkaError, producer::FutureProducer};

use super::interface::Down;

/// The topics that the platform publishes to. What stands before the first dot is the sender whose events they hold.
pub const PLATFORM_TOPICS: [&str; 2] = ["erp.events", "oa.events"];

pub(super) fn down(error: KafkaError) -> Down {
    Down(error.to_string())
}

/// A producer that leaves it to the brokers what is too large: what they once took, it does not refuse by itself.
pub(super) fn of_any_size(mut config: ClientConfig) -> Result<FutureProducer, KafkaError> {
    config.set("message.max.bytes", "1000000000").create()
}

/// A client of Kafka. Closing it waits for the brokers, so that happens on a thread for blocking work.
pub(super) struct Closing<C: Send + 'static>(Option<C>);

impl<C: Send + 'static> Closing<C> {
    pub fn new(client: C) -> Self {
        Self(Some(client))
    }

    pub fn client(&self) -> Result<&C, Down> {
        self.0.as_ref().ok_or_else(|| Down("closed".to_owned()))
    }
}

impl<C: Send + 'static> Drop for Closing<C> {
    fn drop(&mut self) {
        if let (Some(client), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(client));
        }
    }
}
