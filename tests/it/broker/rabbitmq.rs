//! RabbitMQ at `TEST_AMQP_URL`. Each test has exchanges and queues of its own.

use std::{collections::HashSet, sync::Arc, time::Duration};

use crm::{
    broker::{Broker, DEAD_LETTERS, EVENTS, INBOUND, PLATFORM, REASON, RETRIES, rabbitmq::RabbitMq},
    config::Secret,
    events::outbox,
    inbound::event_types,
    relay::{self, Step},
    telemetry::LogFormat,
};
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
        ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::FieldTable,
};
use serde_json::{Value, json};

use crate::harness::{
    Log, Proxy, Service,
    broker::{drain, relay_to},
    events::{CustomerVersions, task_completed},
    id,
    rabbitmq::bind_queue,
    variable,
};

/// Before an event that was put off comes again.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

pub(super) fn url() -> String {
    variable("TEST_AMQP_URL").unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned())
}

/// The broker's `host:port`.
fn server() -> String {
    url().rsplit('@').next().unwrap().split('/').next().unwrap().to_owned()
}

/// Exchanges and queues whose names have a prefix of their own.
pub(super) struct Namespace {
    prefix: String,
    pub(super) channel: Channel,
    _connection: Connection,
}

impl Namespace {
    pub(super) async fn new() -> Self {
        let connection = Connection::connect(&url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "a name that no other test has")]
        let prefix = format!("test-{}.", uuid::Uuid::now_v7().simple());
        Self { prefix, channel, _connection: connection }
    }

    pub(super) fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn broker_at(&self, url: &str) -> Arc<dyn Broker> {
        Arc::new(RabbitMq::new(Secret::new(url.to_owned()), self.prefix.clone()))
    }

    pub(super) fn broker(&self) -> Arc<dyn Broker> {
        self.broker_at(&url())
    }

    async fn bind_listener(&self, pattern: &str) {
        let (queue, exchange) = (self.name("listener"), self.name(EVENTS));
        bind_queue(&self.channel, &queue, &exchange, pattern).await.unwrap();
    }

    /// Takes all messages out of a queue.
    pub(super) async fn drain_queue(&self, queue: &str) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        let get = || self.channel.basic_get(self.name(queue).into(), BasicGetOptions { no_ack: true });
        while let Some(message) = get().await.unwrap() {
            deliveries.push(message.delivery);
        }
        deliveries
    }

    pub(super) async fn send(&self, key: &str, event: &[u8]) {
        let (exchange, options) = (self.name(PLATFORM), BasicPublishOptions::default());
        let properties = BasicProperties::default();
        let sent = self.channel.basic_publish(exchange.into(), key.into(), options, event, properties);
        let _confirmed_later = sent.await.unwrap();
    }

    pub(super) async fn delete(self) {
        for queue in ["listener", INBOUND, DEAD_LETTERS, RETRIES] {
            self.channel.queue_delete(self.name(queue).into(), QueueDeleteOptions::default()).await.unwrap();
        }
        for exchange in [EVENTS, PLATFORM] {
            let delete = ExchangeDeleteOptions::default();
            self.channel.exchange_delete(self.name(exchange).into(), delete).await.unwrap();
        }
    }
}

pub(super) fn header(delivery: &Delivery, name: &str) -> String {
    let headers = delivery.properties.headers().clone().unwrap();
    let value = headers.inner().get(name).unwrap_or_else(|| panic!("no {name}")).as_long_string().unwrap();
    String::from_utf8(value.as_bytes().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_arrives_with_the_documented_properties() {
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    rabbitmq.bind_listener("crm.customer.*").await;
    let body = json!({ "name": "Acme", "contactPhone": "13812345678" });
    service.post("/customers", body).tenant("other").send().await.expect(201);
    drain(&service.app, &mut relay_to(&service.app, rabbitmq.broker())).await;
    let arrived = rabbitmq.drain_queue("listener").await;
    assert_eq!(arrived.len(), 1);
    let (delivery, event) = (&arrived[0], serde_json::from_slice::<Value>(&arrived[0].data).unwrap());
    assert_eq!(event, service.get("/events").tenant("other").send().await.expect(200).body["data"][0]);
    assert_eq!(
        (delivery.routing_key.as_str(), delivery.exchange.as_str()),
        ("crm.customer.created", &*rabbitmq.name(EVENTS))
    );
    let properties = &delivery.properties;
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), id(&event, "eventId"));
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/json");
    assert_eq!(header(delivery, "x-tenant-id"), "other");
    assert!(header(delivery, "traceparent").starts_with(&format!("00-{}-", id(&event, "traceId"))));
    rabbitmq.delete().await;
}

#[tokio::test]
async fn an_unroutable_event_is_retried_and_its_content_never_logged() {
    let (log, _guard) = Log::of_this_thread("trace", LogFormat::Json);
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    service.create("/customers", json!({ "name": "Canary Ltd" })).await;
    let mut relay = relay_to(&service.app, rabbitmq.broker());
    drain(&service.app, &mut relay).await;
    let status = relay::status(service.app.database()).await.unwrap();
    assert_eq!((status.position, status.blocked), (1, 1));
    assert!(log.text().contains("NO_ROUTE") && !log.text().contains("Canary"), "{}", log.text());
    rabbitmq.bind_listener("#").await;
    service.advance(2_000);
    drain(&service.app, &mut relay).await;
    assert_eq!(relay::status(service.app.database()).await.unwrap().blocked, 0);
    assert_eq!(rabbitmq.drain_queue("listener").await.len(), 1);
    rabbitmq.delete().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_events_arrive_in_order_through_200_kills_and_disconnects() {
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    rabbitmq.bind_listener("#").await;
    let (url, server) = (url(), server());
    let proxy = Proxy::to(&server).await;
    let broker = rabbitmq.broker_at(&url.replace(&server, &format!("127.0.0.1:{}", proxy.port())));
    let mut customers = Vec::new();
    for _ in 0..20 {
        customers.push(service.customer().await);
    }
    let (mut committed, mut killed, mut batches) = (customers.len(), 0, 0);
    let mut relay = relay_to(&service.app, Arc::clone(&broker));
    for round in 0..200_usize {
        for step in 0..round * 7 % 12 {
            let customer = &customers[(round * 5 + step * 3) % customers.len()];
            let body = json!({ "name": format!("Round {round} {step}") });
            let call = service.patch(&format!("/customers/{customer}"), body);
            assert_eq!(call.send_unchecked().await.status, 200);
            committed += 1;
        }
        outbox::assign_positions(service.app.database()).await.unwrap();
        proxy.turn_away(round % 11 == 3);
        let disconnect = async {
            tokio::time::sleep(Duration::from_micros((round * 997 % 40_000) as u64)).await;
            if round % 3 == 0 {
                proxy.close_connections();
            }
        };
        let publishing = async {
            loop {
                match relay.step().await.unwrap() {
                    Step::Sent(_) => batches += 1,
                    step => return step,
                }
            }
        };
        let limit = Duration::from_micros((round * 1_733 % 60_000) as u64);
        let (step, ()) = tokio::join!(tokio::time::timeout(limit, publishing), disconnect);
        killed += usize::from(step.is_err());
        if !matches!(step, Ok(Step::Idle)) {
            // A new relay does not wait before it connects again.
            relay.release().await.unwrap();
            relay = relay_to(&service.app, Arc::clone(&broker));
        }
    }
    proxy.turn_away(false);
    drain(&service.app, &mut relay).await;
    assert_eq!(relay::status(service.app.database()).await.unwrap().blocked, 0);
    // What a closed connection still carried arrives late and again: the first arrival counts.
    let (mut ids, mut versions) = (HashSet::new(), CustomerVersions::default());
    let arrived = rabbitmq.drain_queue("listener").await;
    for delivery in &arrived {
        let event: Value = serde_json::from_slice(&delivery.data).unwrap();
        if ids.insert(id(&event, "eventId")) {
            versions.assert_next(&event);
        }
    }
    assert_eq!(ids.len(), committed);
    // How many there are depends on how busy the machine is: none would show nothing.
    assert!(killed > 0 && batches > 0, "{killed} relays were killed, {batches} batches were published");
    let duplicates = arrived.len() - committed;
    eprintln!("{committed} events, {batches} batches, {killed} relays killed, {duplicates} duplicates");
    rabbitmq.delete().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shuffled_duplicates_of_10_000_events_each_take_effect_once() {
    const EVENTS_SENT: usize = 10_000;
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    let broker = rabbitmq.broker();
    // Declares the queue, so that nothing that is sent goes nowhere.
    drop(broker.subscriber(&event_types(), PAUSE).await.unwrap());
    let customer = service.customer().await;
    // Each event is sent one to five times.
    let mut copies: Vec<usize> = (0..EVENTS_SENT).flat_map(|number| vec![number; number % 5 + 1]).collect();
    let total = copies.len();
    for index in (1..total).rev() {
        copies.swap(index, index.wrapping_mul(2_654_435_761) % (index + 1));
    }
    let sending = async {
        for number in &copies {
            rabbitmq.send("oa.task.completed", task_completed(*number, &customer).to_string().as_bytes()).await;
        }
        rabbitmq.send("erp.contract.signed", b"{}").await;
    };
    let waiting = async || {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = rabbitmq.name(INBOUND).into();
        rabbitmq.channel.queue_declare(queue, passive, FieldTable::default()).await.unwrap().message_count()
    };
    let consuming = async {
        let mut lives = 0;
        // What a consumer had when it died counts as a duplicate afterwards.
        while service.read("/follow-ups?pageSize=1").await["total"] != EVENTS_SENT || waiting().await > 0 {
            lives += 1;
            let limit = Duration::from_millis(500 * lives);
            let _killed = tokio::time::timeout(limit, service.inbound().consume(&*broker)).await;
        }
        lives
    };
    let ((), lives) = tokio::join!(sending, consuming);
    assert!(lives > 1 && service.inbound_count("duplicate") > 0, "{lives} lives");
    assert_eq!(service.read("/follow-ups?pageSize=1").await["total"], EVENTS_SENT);
    let dead = rabbitmq.drain_queue(DEAD_LETTERS).await;
    assert_eq!((dead.len(), dead[0].data.as_slice()), (1, b"{}".as_slice()));
    assert_eq!(header(&dead[0], REASON), "missing field `eventId`");
    rabbitmq.delete().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_queued_while_the_broker_was_down_drain_in_order() {
    let queued: usize = variable("TEST_QUEUED").map_or(5_000, |text| text.parse().unwrap());
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    rabbitmq.bind_listener("#").await;
    let mut writing = futures_util::stream::iter(0..queued / 10)
        .map(|_| async {
            let customer = service.customer().await;
            for number in 1..10 {
                let body = json!({ "name": format!("Acme {number}") });
                let call = service.patch(&format!("/customers/{customer}"), body);
                assert_eq!(call.send_unchecked().await.status, 200);
            }
        })
        .buffer_unordered(64);
    while writing.next().await.is_some() {}
    drop(writing);
    let mut relay = relay_to(&service.app, rabbitmq.broker_at("amqp://127.0.0.1:1"));
    outbox::assign_positions(service.app.database()).await.unwrap();
    assert!(matches!(relay.step().await.unwrap(), Step::Down(_)));
    let mut relay = relay_to(&service.app, rabbitmq.broker());
    let start = std::time::Instant::now();
    let listening = async {
        let consume = BasicConsumeOptions::default();
        let name = rabbitmq.name("listener");
        let mut consumer =
            rabbitmq.channel.basic_consume(name.into(), "".into(), consume, FieldTable::default()).await.unwrap();
        let mut versions = CustomerVersions::default();
        for _ in 0..queued {
            let delivery = consumer.next().await.unwrap().unwrap();
            versions.assert_next(&serde_json::from_slice(&delivery.data).unwrap());
            delivery.ack(BasicAckOptions::default()).await.unwrap();
        }
    };
    tokio::join!(listening, drain(&service.app, &mut relay));
    eprintln!("{queued} events drained in {:?}", start.elapsed());
    rabbitmq.delete().await;
}
