//! What the clients of Kafka share.

use std::{sync::mpsc::channel, thread, time::Duration};

use rdkafka::{ClientConfig, error::KafkaError, producer::FutureProducer};
use tokio::runtime::Handle;

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

/// How long the end of the process waits for a client that is closed.
const CLOSING: Duration = Duration::from_secs(5);

/// A client of Kafka. Closing it says so to the brokers and waits for them, without end where they are gone: that happens on a
/// thread of its own, for which the end of the process waits only so long.
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
        if let (Some(client), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            let (done, closed) = channel();
            thread::spawn(move || {
                drop(client);
                let _nobody_may_wait = done.send(());
            });
            runtime.spawn_blocking(move || closed.recv_timeout(CLOSING));
        }
    }
}
