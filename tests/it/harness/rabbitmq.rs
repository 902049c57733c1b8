//! What tests with RabbitMQ share.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};

use super::{signal, variable};

/// Binds a durable queue to the exchange that events are published to.
pub async fn bind_queue(channel: &Channel, queue: &str, exchange: &str, pattern: &str) -> lapin::Result<()> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(exchange.into(), ExchangeKind::Topic, durable, FieldTable::default()).await?;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), durable, FieldTable::default()).await?;
    let bind = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), pattern.into(), bind, FieldTable::default()).await
}

/// A RabbitMQ server of a test's own; killed with the test.
pub struct RabbitNode {
    directory: tempfile::TempDir,
    name: String,
    port: u16,
    process: Option<Child>,
}

impl RabbitNode {
    /// A server by this name with these settings, in the form of `rabbitmq.conf`. `port` is for talking to other nodes.
    pub fn new(name: &str, port: u16, settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("rabbitmq.conf"), settings).unwrap();
        Self { directory, name: format!("{name}@localhost"), port, process: None }
    }

    /// Where it keeps its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts it; it accepts connections some seconds later.
    pub fn start(&mut self) {
        let server =
            variable("TEST_RABBITMQ_SERVER").unwrap_or_else(|| "/usr/lib/rabbitmq/bin/rabbitmq-server".to_owned());
        let directory = self.directory.path();
        let child = Command::new(&server)
            .current_dir(directory)
            .env("HOME", directory)
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_CONF_ENV_FILE", directory.join("none"))
            .env("RABBITMQ_CONFIG_FILE", directory.join("rabbitmq.conf"))
            .env("RABBITMQ_DIST_PORT", self.port.to_string())
            .env("RABBITMQ_MNESIA_BASE", directory)
            .env("RABBITMQ_LOG_BASE", directory)
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", directory.join("plugins"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        self.process = Some(child.unwrap_or_else(|error| panic!("{server}: {error}")));
    }

    /// Kills it and its children at once, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            signal("-KILL", format!("-{}", child.id()));
            child.wait().unwrap();
        }
    }
}

impl Drop for RabbitNode {
    fn drop(&mut self) {
        self.kill();
    }
}
