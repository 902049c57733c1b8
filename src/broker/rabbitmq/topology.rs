//! The exchanges, and the queues that the platform's events take. They are declared at each start. What exists already with
//! other arguments, or may not be declared, is used as it is.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use lapin::{
    BasicProperties, Channel, Connection, Error, ErrorKind, ExchangeKind,
    options::{
        BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    },
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable},
};

use super::connection::down;
use crate::broker::{
    interface::Down,
    names::{DEAD_LETTERS, INBOUND, PLATFORM, RETRIES},
};

/// Where the platform's events come from and go to.
#[derive(Debug, Clone)]
pub(super) struct Queues {
    /// The exchange that they are published to.
    pub platform: String,
    /// The queue that they are taken from.
    pub inbound: String,
    /// The queue that leads back to `inbound` after a pause.
    pub retries: String,
    pub dead_letters: String,
}

impl Queues {
    pub fn named(name: impl Fn(&str) -> String) -> Self {
        let (platform, inbound) = (name(PLATFORM), name(INBOUND));
        Self { platform, inbound, retries: name(RETRIES), dead_letters: name(DEAD_LETTERS) }
    }
}

/// What lasts longer than a connection: what the log was told, once and not each time; and why the last one ended.
#[derive(Debug, Default)]
pub(super) struct SharedState {
    names: Mutex<HashSet<String>>,
    /// The last connection was given up over a message that cannot be read.
    pub unreadable: AtomicBool,
}

impl SharedState {
    fn as_it_is(&self, name: &str, reason: &Error) {
        if self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned()) {
            tracing::warn!(name, %reason, "it cannot be declared as this service would, and is used as it is");
        }
    }
}

/// Declares an exchange, or finds it declared; then the channel is closed.
pub(super) async fn declare_exchange(
    connection: &Connection,
    channel: &Channel,
    name: &str,
    shared: &SharedState,
) -> Result<(), Down> {
    Declaring { connection, channel: channel.clone(), shared }.exchange(name).await
}

/// Declares and binds everything. `queues.retries` may become another one, which leads back for certain.
pub(super) async fn declare(
    connection: &Connection,
    queues: &mut Queues,
    event_types: &[&'static str],
    pause: Duration,
    shared: &SharedState,
) -> Result<(), Down> {
    let mut declaring = Declaring { connection, channel: channel(connection).await?, shared };
    declaring.exchange(&queues.platform).await?;
    declaring.queue(&queues.inbound).await?;
    declaring.queue(&queues.dead_letters).await?;
    declaring.retries(queues, pause).await?;
    for event_type in event_types {
        let (queue, exchange) = (queues.inbound.as_str().into(), queues.platform.as_str().into());
        let bind = QueueBindOptions::default();
        let bound = declaring.channel.queue_bind(queue, exchange, (*event_type).into(), bind, FieldTable::default());
        bound.await.map_err(|error| cannot("bind", &queues.inbound, &error))?;
    }
    declaring.may_publish(&queues.inbound).await
}

async fn channel(connection: &Connection) -> Result<Channel, Down> {
    connection.create_channel().await.map_err(down)
}

fn cannot(what: &str, name: &str, error: &Error) -> Down {
    Down(format!("cannot {what} {name}: {error}"))
}

/// The broker's refusal that closes the channel and nothing else.
pub(super) fn refusal(error: &Error) -> Option<&AMQPSoftError> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(refusal) => Some(refusal),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

fn is_mismatch(error: &Error) -> bool {
    refusal(error) == Some(&AMQPSoftError::PRECONDITIONFAILED)
}

/// Whether it may exist all the same: with other arguments, or declared by somebody who may.
fn may_exist(error: &Error) -> bool {
    is_mismatch(error) || refusal(error) == Some(&AMQPSoftError::ACCESSREFUSED)
}

struct Declaring<'d> {
    connection: &'d Connection,
    /// Closed by each refusal.
    channel: Channel,
    shared: &'d SharedState,
}

impl Declaring<'_> {
    async fn exchange(&mut self, name: &str) -> Result<(), Down> {
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let passive = ExchangeDeclareOptions { passive: true, ..durable };
        let declare = async |channel: &Channel, options| {
            channel.exchange_declare(name.into(), ExchangeKind::Topic, options, FieldTable::default()).await
        };
        let Err(error) = declare(&self.channel, durable).await else { return Ok(()) };
        // Of another type it would route other events.
        if !may_exist(&error) || error.to_string().contains("arg 'type'") {
            return Err(cannot("use the exchange", name, &error));
        }
        self.channel = channel(self.connection).await?;
        declare(&self.channel, passive).await.map_err(|_| cannot("declare the exchange", name, &error))?;
        self.shared.as_it_is(name, &error);
        Ok(())
    }

    async fn try_queue(&self, name: &str, passive: bool, arguments: FieldTable) -> lapin::Result<()> {
        let options = QueueDeclareOptions { durable: true, passive, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(name.into(), options, arguments).await.map(drop)
    }

    async fn queue(&mut self, name: &str) -> Result<(), Down> {
        let Err(error) = self.try_queue(name, false, FieldTable::default()).await else { return Ok(()) };
        if !may_exist(&error) {
            return Err(cannot("declare the queue", name, &error));
        }
        self.existing_queue(name, &error).await
    }

    async fn existing_queue(&mut self, name: &str, error: &Error) -> Result<(), Down> {
        self.channel = channel(self.connection).await?;
        let exists = self.try_queue(name, true, FieldTable::default()).await;
        exists.map_err(|_| cannot("declare the queue", name, error))?;
        self.shared.as_it_is(name, error);
        Ok(())
    }

    /// What lies in this queue is lost if it does not lead back. So of one with other arguments only a quorum queue is used,
    /// where the others are found to be the same; else another queue takes its place.
    async fn retries(&mut self, queues: &mut Queues, pause: Duration) -> Result<(), Down> {
        let back = leads_back(&queues.inbound, pause);
        let mut quorum = back.clone();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let name = queues.retries.clone();
        let Err(error) = self.try_queue(&name, false, back.clone()).await else { return Ok(()) };
        if !is_mismatch(&error) {
            return match may_exist(&error) {
                true => self.existing_queue(&name, &error).await,
                false => Err(cannot("declare the queue", &name, &error)),
            };
        }
        self.channel = channel(self.connection).await?;
        if self.try_queue(&name, false, quorum).await.is_ok() {
            self.shared.as_it_is(&name, &error);
            return Ok(());
        }
        self.channel = channel(self.connection).await?;
        queues.retries = format!("{name}.{}", pause.as_millis());
        let spare = self.try_queue(&queues.retries, false, back).await;
        spare.map_err(|error| cannot("declare the queue", &queues.retries, &error))?;
        if self.shared.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone()) {
            let instead = &queues.retries;
            tracing::warn!(name, instead, reason = %error, "it may not lead back to its queue: another takes its place");
        }
        Ok(())
    }

    /// Without the permission to publish events again, they could neither wait nor become dead letters: that is found out
    /// before the first is taken. The message has nowhere to go.
    async fn may_publish(&self, inbound: &str) -> Result<(), Down> {
        let trial = async {
            self.channel.confirm_select(ConfirmSelectOptions::default()).await?;
            let nowhere = format!("{inbound}.nowhere").into();
            let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            self.channel.basic_publish("".into(), nowhere, mandatory, &[], BasicProperties::default()).await?.await
        };
        let tried = trial.await.map(drop);
        tried.map_err(|error| cannot("publish to", "the default exchange (amq.default)", &error))
    }
}

/// The arguments of a queue whose messages go to `inbound` after a pause.
fn leads_back(inbound: &str, pause: Duration) -> FieldTable {
    let pause = i32::try_from(pause.as_millis()).unwrap_or(i32::MAX);
    let mut arguments = FieldTable::default();
    arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(pause));
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
    arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(inbound.into()));
    arguments
}
