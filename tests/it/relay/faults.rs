//! Relay processes and a RabbitMQ server, killed again and again. `make faults` runs this.

use std::{
    collections::{HashMap, HashSet},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use lapin::{
    Channel, Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicConsumeOptions, QueueDeclareOptions},
    types::FieldTable,
};
use sea_orm::DatabaseConnection;
use serde_json::{Value, json};

use crate::harness::{
    PII_KEYS, Process, TestDatabase, id,
    rabbitmq::{RabbitNode, bind_queue},
    run_crm,
    sql::column,
    variable,
};

const PORT: u16 = 25_699;
const LISTENER: &str = "listener";

fn url() -> String {
    format!("amqp://guest:guest@127.0.0.1:{PORT}/%2f")
}

#[derive(Default)]
struct Arrived {
    ids: HashSet<String>,
    /// The versions of each customer, in the order of their first arrivals.
    versions: HashMap<String, Vec<i64>>,
    duplicates: usize,
    /// Events that were recorded as published before the present relay started.
    published: HashSet<String>,
    /// Those of them that were published again.
    republished: Vec<String>,
}

impl Arrived {
    fn record(&mut self, event: &Value, redelivered: bool) {
        let event_id = id(event, "eventId");
        if self.ids.insert(event_id.clone()) {
            let customer = id(&event["data"]["resource"], "customerId");
            self.versions.entry(customer).or_default().push(event["data"]["version"].as_i64().unwrap());
        } else if !redelivered {
            self.duplicates += 1;
            if self.published.contains(&event_id) {
                self.republished.push(event_id);
            }
        }
    }
}

/// Connects, with a limit: a broker killed during the handshake leaves its client waiting.
async fn connect() -> Option<(Connection, Channel)> {
    tokio::time::timeout(Duration::from_secs(3), try_connect()).await.ok()?.ok()
}

async fn try_connect() -> lapin::Result<(Connection, Channel)> {
    let connection = Connection::connect(&url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    bind_queue(&channel, LISTENER, "crm.events", "#").await?;
    Ok((connection, channel))
}

/// Consumes what arrives, and reconnects whenever the broker was killed.
async fn listen(arrived: Arc<Mutex<Arrived>>) {
    loop {
        if let Some((_connection, channel)) = connect().await
            && let Ok(mut consumer) = channel
                .basic_consume(LISTENER.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
                .await
        {
            while let Some(Ok(delivery)) = consumer.next().await {
                let event = serde_json::from_slice(&delivery.data).unwrap();
                arrived.lock().unwrap().record(&event, delivery.redelivered);
                if delivery.ack(BasicAckOptions::default()).await.is_err() {
                    break;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The ids of the events that meet a condition.
async fn event_ids(connection: &DatabaseConnection, condition: &str) -> HashSet<String> {
    let ids = column::<uuid::Uuid>(connection, &format!("SELECT event_id FROM outbox WHERE {condition}")).await;
    ids.iter().map(ToString::to_string).collect()
}

/// The condition that an event is recorded as published.
const PUBLISHED: &str = "position <= (SELECT position FROM outbox_relay) AND seq NOT IN (SELECT seq FROM outbox_held)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and needs RabbitMQ installed: make faults"]
async fn every_event_arrives_in_order_through_200_kills_of_relay_or_broker() {
    let rounds: usize = variable("TEST_ROUNDS").map_or(200, |text| text.parse().unwrap());
    let database = TestDatabase::new().await;
    let settings = format!("listeners.tcp.1 = 127.0.0.1:{PORT}\n");
    let mut node = RabbitNode::new("crm-faults", PORT + 1, &settings);
    let broker = url();
    let variables = [("CRM_EVENTS_URL", broker.as_str())];
    let arrived = Arc::new(Mutex::new(Arrived::default()));
    let listener = tokio::spawn(listen(Arc::clone(&arrived)));
    // A server that is there already would never be killed.
    assert!(TcpListener::bind(("127.0.0.1", PORT)).is_ok(), "something listens at port {PORT}");
    node.start();
    let off = [("CRM_EVENTS_RELAY", "off")];
    let service = Process::with("serve", "serving", &database, &off);
    let (stopped, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut writers = Vec::new();
    for writer in 0..2 {
        let (mut client, stopped, acknowledged) =
            (service.client().await, Arc::clone(&stopped), Arc::clone(&acknowledged));
        writers.push(tokio::spawn(async move {
            let mut customers: Vec<String> = Vec::new();
            for number in 0.. {
                if stopped.load(Ordering::SeqCst) {
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
            // What it sent must arrive before the record is read.
            tokio::time::sleep(Duration::from_millis(100)).await;
            arrived.lock().unwrap().published = event_ids(&connection, PUBLISHED).await;
            relay = Process::with("relay", "relaying", &database, &variables);
        }
        if round % 5 == 3 {
            // The broker must be up from time to time.
            let start = Instant::now();
            while connect().await.is_none() {
                assert!(start.elapsed() < Duration::from_secs(60), "the broker does not start");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    stopped.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    let committed = event_ids(&connection, "1 = 1").await;
    assert_eq!(committed.len(), acknowledged.load(Ordering::SeqCst));
    let (mut last, mut progress) = (0, Instant::now());
    loop {
        let count = arrived.lock().unwrap().ids.len();
        if count >= committed.len() {
            break;
        }
        if count > last {
            (last, progress) = (count, Instant::now());
        }
        // Draining the backlog takes time; without progress the rest is lost.
        if progress.elapsed() > Duration::from_secs(60) {
            let missing = committed.difference(&arrived.lock().unwrap().ids).cloned().collect::<HashSet<_>>();
            let published = event_ids(&connection, PUBLISHED).await;
            let url = database.url();
            let status = run_crm(&["outbox", "status"], &[("CRM_DATABASE_URL", &url), ("CRM_PII_KEYS", PII_KEYS)]);
            let queue = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let queue = match connect().await {
                Some((_connection, channel)) => channel
                    .queue_declare(LISTENER.into(), queue, FieldTable::default())
                    .await
                    .map(|q| q.message_count()),
                None => Ok(u32::MAX),
            };
            panic!(
                "{} of {} events are missing, {} of them recorded as published; in the queue: {queue:?}\n{}",
                missing.len(),
                committed.len(),
                missing.intersection(&published).count(),
                status.stdout
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
    let republished = &arrived.republished;
    assert!(republished.is_empty(), "published again although recorded: {republished:?}");
    let (count, duplicates) = (committed.len(), arrived.duplicates);
    eprintln!("{count} events, {relays} relays and {brokers} brokers killed, {duplicates} duplicates");
    drop(relay);
}
