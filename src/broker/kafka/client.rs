//! What the clients of Kafka share.

use std::{sync::mpsc::channel, thread, time::Duration};

use rdkafka::{
    ClientConfig, Message as _,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, Headers, OwnedHeaders, OwnedMessage},
    producer::FutureProducer,
};
use tokio::runtime::Handle;

use crate::broker::{
    interface::Down,
    names::{DEAD_SINCE, ORIGIN, REASON},
};

pub(super) fn down(error: KafkaError) -> Down {
    Down(error.to_string())
}

/// A producer that leaves it to the brokers what is too large: what they once took, it does not refuse by itself.
pub(super) fn of_any_size(mut config: ClientConfig) -> Result<FutureProducer, KafkaError> {
    config.set("message.max.bytes", "1000000000").create()
}

/// Whether the brokers have answered that they do not take this message. That a topic is not there, or not open to this
/// service, is no fault of the message.
pub(super) fn is_refusal(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::MessageSizeTooLarge
                | Code::InvalidMessage
                | Code::InvalidMessageSize
                | Code::InvalidRecord
                | Code::PolicyViolation
        )
    )
}

/// The headers of a message that its sender gave it.
pub(super) fn senders(message: &OwnedMessage) -> OwnedHeaders {
    let ours = |key: &str| [REASON, DEAD_SINCE, ORIGIN].contains(&key);
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let headers = headers.filter(|header: &Header<'_, &[u8]>| !ours(header.key));
    headers.fold(OwnedHeaders::new(), OwnedHeaders::insert)
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
