//! RabbitMQ, by AMQP 0-9-1: durable topic exchanges, persistent messages, publisher confirms with `mandatory`, manual
//! acknowledgement.
//!
//! Reading order: `connection` · `topology` what is declared and bound · `publisher` · `consumer` · `side_channel` where events
//! are published that are not applied · `dead_letters` what operators do with them · `unreadable` what no client can read.

mod connection;
mod consumer;
mod dead_letters;
mod publisher;
mod side_channel;
mod topology;
mod unreadable;

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use lapin::{Channel, Connection, options::ConfirmSelectOptions};

use self::{
    connection::{down, in_time},
    publisher::RabbitPublisher,
    side_channel::Connector,
    topology::{Queues, SharedState, declare_exchange},
};
use super::{
    interface::{Broker, Choose, DeadLetterAction, Down, Publisher, Subscriber},
    names::EVENTS,
};
use crate::config::{CaFile, Secret};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// RabbitMQ at an address.
#[derive(Clone)]
pub struct RabbitMq {
    url: Secret,
    ca_file: Option<CaFile>,
    prefix: String,
    /// What lasts longer than a connection.
    shared: Arc<SharedState>,
}

impl RabbitMq {
    /// The broker at this address. `prefix` is put before the names of all exchanges and queues, so that tests have their own.
    #[must_use]
    pub fn new(url: Secret, prefix: String) -> Self {
        Self { url, ca_file: None, prefix, shared: Arc::default() }
    }

    /// The same broker, trusted by the certificates in this file rather than the system's.
    #[must_use]
    pub fn trusting(self, ca_file: Option<CaFile>) -> Self {
        Self { ca_file, ..self }
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn connect(&self) -> lapin::Result<(Connection, Channel)> {
        let connection = connection::open(&self.url, self.ca_file.as_ref()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok((connection, channel))
    }

    async fn publishing(&self) -> Result<RabbitPublisher, Down> {
        let (connection, channel) = self.connect().await.map_err(down)?;
        declare_exchange(&connection, &channel, &self.name(EVENTS), &self.shared).await?;
        Ok(RabbitPublisher::new(connection, channel, self.name(EVENTS)))
    }

    /// Where the platform's events come from and go to.
    fn queues(&self) -> Queues {
        Queues::named(|name| self.name(name))
    }

    /// Opens further connections like this one.
    fn connector(&self) -> Connector {
        let broker = self.clone();
        Arc::new(move || {
            let broker = broker.clone();
            async move { broker.connect().await }.boxed()
        })
    }
}

impl Broker for RabbitMq {
    fn system(&self) -> &'static str {
        "rabbitmq"
    }

    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, Down>> {
        async { Ok(Box::new(in_time(CONNECT, self.publishing()).await??) as Box<dyn Publisher>) }.boxed()
    }

    fn subscriber<'b>(
        &'b self,
        event_types: &'b [&'static str],
        pause: Duration,
    ) -> BoxFuture<'b, Result<Box<dyn Subscriber>, Down>> {
        consumer::subscribe(self.connector(), self.queues(), event_types, pause, &self.shared).boxed()
    }

    fn dead_letters<'b>(
        &'b self,
        action: DeadLetterAction,
        limit: u64,
        choose: &'b mut Choose<'_>,
    ) -> BoxFuture<'b, Result<u64, Down>> {
        dead_letters::visit(self.connector(), self.queues(), action, limit, choose).boxed()
    }
}
