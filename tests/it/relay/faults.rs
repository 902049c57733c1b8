//! The broker and the relay, killed as processes: with a RabbitMQ of the test's own, because it is killed too. `make faults`
//! runs it; it takes minutes.

use std::{
    collections::{HashMap, HashSet},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use lapin::{
    Channel, Connection, ConnectionProperties, ExchangeKind,
    options::{BasicAckOptions, BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use serde_json::{Value, json};

use crate::harness::{PII_KEYS, Process, TestDatabase, crm, id, variable};

const PORT: u16 = 25_699;
const LISTENER: &str = "listener";

fn url() -> String {
    format!("amqp://guest:guest@127.0.0.1:{PORT}/%2f")
}

/// A RabbitMQ of the test's own.
struct Node {
    directory: tempfile::TempDir,
    process: Option<Child>,
}

impl Node {
    fn start(&mut self) {
        // Another one there would never be killed, and have events of its own.
        let free = std::net::TcpListener::bind(("127.0.0.1", PORT));
        assert!(free.is_ok(), "something listens at port {PORT}");
        drop(free);
        let server =
            variable("TEST_RABBITMQ_SERVER").unwrap_or_else(|| "/usr/lib/rabbitmq/bin/rabbitmq-server".to_owned());
        let directory = self.directory.path();
        let settings = directory.join("rabbitmq.conf");
        std::fs::write(&settings, format!("listeners.tcp.1 = 127.0.0.1:{PORT}\n")).unwrap();
        let child = Command::new(server)
            .current_dir(directory)
            .env("HOME", directory)
            .env("RABBITMQ_NODENAME", "crm-faults@localhost")
            .env("RABBITMQ_CONF_ENV_FILE", directory.join("none"))
            .env("RABBITMQ_CONFIG_FILE", &settings)
            .env("RABBITMQ_DIST_PORT", (PORT + 1).to_string())
            .env("RABBITMQ_MNESIA_BASE", directory)
            .env("RABBITMQ_LOG_BASE", directory)
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", directory.join("plugins"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        self.process = Some(child);
    }

    /// As a power cut would: it and what it started.
    fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            let group = format!("-{}", child.id());
            assert!(Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
            child.wait().unwrap();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What arrived.
#[derive(Default)]
struct Arrived {
    /// The ids, and the versions of each resource in the order of first arrivals.
    ids: HashSet<String>,
    versions: HashMap<String, Vec<i64>>,
    duplicates: usize,
    /// Events that were marked before the relay now at work was started.
    marked: HashSet<String>,
    /// Those of them that came again.
    broken: Vec<String>,
}

impl Arrived {
    fn take(&mut self, event: &Value, redelivered: bool) {
        let event_id = id(event, "eventId");
        if self.ids.insert(event_id.clone()) {
            let customer = id(&event["data"]["resource"], "customerId");
            self.versions.entry(customer).or_default().push(event["data"]["version"].as_i64().unwrap());
        } else if !redelivered {
            self.duplicates += 1;
            if self.marked.contains(&event_id) {
                self.broken.push(event_id);
            }
        }
    }
}

/// A connection in time: a broker that is killed while it greets leaves its client waiting.
async fn listening() -> Option<(Connection, Channel)> {
    tokio::time::timeout(Duration::from_secs(3), connecting()).await.ok()?.ok()
}

async fn connecting() -> lapin::Result<(Connection, Channel)> {
    let connection = Connection::connect(&url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare("crm.events".into(), ExchangeKind::Topic, durable, FieldTable::default()).await?;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(LISTENER.into(), durable, FieldTable::default()).await?;
    let bind = QueueBindOptions::default();
    channel.queue_bind(LISTENER.into(), "crm.events".into(), "#".into(), bind, FieldTable::default()).await?;
    Ok((connection, channel))
}

/// Takes what arrives, whatever becomes of the broker.
async fn listen(arrived: Arc<Mutex<Arrived>>) {
    loop {
        if let Some((_connection, channel)) = listening().await
            && let Ok(mut consumer) = channel
                .basic_consume(LISTENER.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
                .await
        {
            while let Some(Ok(delivery)) = consumer.next().await {
                let event = serde_json::from_slice(&delivery.data).unwrap();
                arrived.lock().unwrap().take(&event, delivery.redelivered);
                if delivery.ack(BasicAckOptions::default()).await.is_err() {
                    break;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ids(connection: &DatabaseConnection, which: &str) -> HashSet<String> {
    let sql = format!("SELECT event_id FROM outbox WHERE {which}");
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index::<uuid::Uuid>(0).unwrap().to_string()).collect()
}

const MARKED: &str = "position <= (SELECT position FROM outbox_relay) AND seq NOT IN (SELECT seq FROM outbox_held)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and needs RabbitMQ installed: make faults"]
async fn through_200_rounds_of_killed_relays_and_brokers_every_committed_event_arrives_in_order() {
    let rounds: usize = variable("TEST_ROUNDS").map_or(200, |text| text.parse().unwrap());
    let database = TestDatabase::new().await;
    let mut node = Node { directory: tempfile::tempdir().unwrap(), process: None };
    let broker = url();
    let variables = [("CRM_EVENTS_URL", broker.as_str())];
    let arrived = Arc::new(Mutex::new(Arrived::default()));
    let listener = tokio::spawn(listen(Arc::clone(&arrived)));
    node.start();
    let off = [("CRM_EVENTS_RELAY", "off")];
    let service = Process::with("serve", "serving", &database, &off);
    let (ended, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut writers = Vec::new();
    for writer in 0..2 {
        let (mut client, ended, acknowledged) = (service.client().await, Arc::clone(&ended), Arc::clone(&acknowledged));
        writers.push(tokio::spawn(async move {
            let mut customers: Vec<String> = Vec::new();
            for number in 0.. {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let request = format!("w{writer}-{number}");
                let body = json!({ "name": request });
                let (status, body) = if number % 5 == 0 {
                    client.send("POST", "/customers", &request, body).await.unwrap()
                } else {
                    let path = format!("/customers/{}", customers[number * 7 % customers.len()]);
                    client.send("PATCH", &path, &request, body).await.unwrap()
                };
                assert!(status == 200 || status == 201, "{status} {body}");
                customers.push(id(&body, "customerId"));
                acknowledged.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }));
    }
    let connection = database.connect().await;
    let mut relay = Process::with("relay", "relaying", &database, &variables);
    let (mut relays, mut brokers) = (0, 0);
    for round in 0..rounds {
        tokio::time::sleep(Duration::from_millis((round * 37 % 250) as u64)).await;
        if round % 5 == 2 {
            brokers += 1;
            node.kill();
            tokio::time::sleep(Duration::from_millis((round * 53 % 400) as u64)).await;
            node.start();
        } else {
            relays += 1;
            relay.signal("-KILL");
            // What it sent arrives before what was marked is looked at.
            tokio::time::sleep(Duration::from_millis(100)).await;
            arrived.lock().unwrap().marked = ids(&connection, MARKED).await;
            relay = Process::with("relay", "relaying", &database, &variables);
        }
        if round % 5 == 3 {
            // It has come up again, at least now and then.
            let begun = Instant::now();
            while listening().await.is_none() {
                assert!(begun.elapsed() < Duration::from_secs(60), "the broker does not start");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    ended.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    let committed = ids(&connection, "1 = 1").await;
    assert_eq!(committed.len(), acknowledged.load(Ordering::SeqCst));
    let (mut last, mut moved) = (0, Instant::now());
    loop {
        let count = arrived.lock().unwrap().ids.len();
        if count >= committed.len() {
            break;
        }
        if count > last {
            (last, moved) = (count, Instant::now());
        }
        // What piled up while relays were killed takes its time; what no longer moves is lost.
        if moved.elapsed() > Duration::from_secs(60) {
            let missing = committed.difference(&arrived.lock().unwrap().ids).cloned().collect::<HashSet<_>>();
            let marked = ids(&connection, MARKED).await;
            let url = database.url();
            let status = crm(&["outbox", "status"], &[("CRM_DATABASE_URL", &url), ("CRM_PII_KEYS", PII_KEYS)]);
            let queue = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let queue = match listening().await {
                Some((_connection, channel)) => channel
                    .queue_declare(LISTENER.into(), queue, FieldTable::default())
                    .await
                    .map(|q| q.message_count()),
                None => Ok(u32::MAX),
            };
            panic!(
                "{} of {} events are missing, {} of them are marked; in the queue: {queue:?}\n{}",
                missing.len(),
                committed.len(),
                missing.intersection(&marked).count(),
                status.out
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    listener.abort();
    let arrived = arrived.lock().unwrap();
    assert_eq!(arrived.ids, committed);
    for (customer, versions) in &arrived.versions {
        assert!(versions.iter().copied().eq(1..=versions.len() as i64), "{customer}: {versions:?}");
    }
    assert!(arrived.broken.is_empty(), "sent again although they were marked: {:?}", arrived.broken);
    let (count, duplicates) = (committed.len(), arrived.duplicates);
    eprintln!("{count} events, {relays} relays and {brokers} brokers killed, {duplicates} duplicates");
    drop(relay);
}
