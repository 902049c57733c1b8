//! Against a real RabbitMQ, at `TEST_AMQP_URL`. Each test has exchanges and queues of its own.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crm::{
    config::Secret,
    events::{
        broker::{Broker, DEAD, EVENTS, INBOUND, PLATFORM, REASON, rabbitmq::RabbitMq},
        relay::{self, Relay, Step},
    },
    telemetry::LogFormat,
};
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
        ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::FieldTable,
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::harness::{
    Log, Service,
    broker::{Versions, drain, task_completed},
    id, variable,
};

fn url() -> String {
    variable("TEST_AMQP_URL").unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned())
}

/// A corner of the broker: everything in it has a name of its own.
struct Corner {
    prefix: String,
    channel: Channel,
    _connection: Connection,
}

impl Corner {
    async fn new() -> Self {
        let connection = Connection::connect(&url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let prefix = format!("test-{}-{:x}.", std::process::id(), getrandom_u64());
        Self { prefix, channel, _connection: connection }
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn broker_at(&self, url: &str) -> Arc<dyn Broker> {
        Arc::new(RabbitMq::new(Secret::new(url.to_owned()), self.prefix.clone()))
    }

    fn broker(&self) -> Arc<dyn Broker> {
        self.broker_at(&url())
    }

    /// Binds a durable queue to the events.
    async fn listen(&self, pattern: &str) {
        let (queue, exchange) = (self.name("listener"), self.name(EVENTS));
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let none = FieldTable::default;
        self.channel.exchange_declare(exchange.as_str().into(), ExchangeKind::Topic, durable, none()).await.unwrap();
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.as_str().into(), durable, none()).await.unwrap();
        let bind = QueueBindOptions::default();
        self.channel.queue_bind(queue.into(), exchange.into(), pattern.into(), bind, none()).await.unwrap();
    }

    /// All that is in a queue.
    async fn all(&self, queue: &str) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        let get = || self.channel.basic_get(self.name(queue).into(), BasicGetOptions { no_ack: true });
        while let Some(message) = get().await.unwrap() {
            deliveries.push(message.delivery);
        }
        deliveries
    }

    async fn send(&self, key: &str, event: &[u8]) {
        let (exchange, options) = (self.name(PLATFORM), BasicPublishOptions::default());
        let properties = BasicProperties::default();
        let sent = self.channel.basic_publish(exchange.into(), key.into(), options, event, properties);
        let _confirmed_later = sent.await.unwrap();
    }

    /// Takes everything away.
    async fn clear(self) {
        for queue in ["listener", INBOUND, DEAD] {
            self.channel.queue_delete(self.name(queue).into(), QueueDeleteOptions::default()).await.unwrap();
        }
        for exchange in [EVENTS, PLATFORM] {
            let delete = ExchangeDeleteOptions::default();
            self.channel.exchange_delete(self.name(exchange).into(), delete).await.unwrap();
        }
    }
}

fn getrandom_u64() -> u64 {
    u64::from_be_bytes(uuid::Uuid::from_u128(u128::from(std::process::id())).into_bytes()[8..].try_into().unwrap())
        ^ std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64
}

fn header(delivery: &Delivery, name: &str) -> String {
    let headers = delivery.properties.headers().clone().unwrap();
    let value = headers.inner().get(name).unwrap_or_else(|| panic!("no {name}")).as_long_string().unwrap();
    String::from_utf8(value.as_bytes().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_arrives_as_the_document_says() {
    let service = Service::start().await;
    let corner = Corner::new().await;
    corner.listen("crm.customer.*").await;
    let body = json!({ "name": "Acme", "contactPhone": "13812345678" });
    service.post("/customers", body).tenant("other").send().await.expect(201);
    drain(&service.app, &mut Relay::new(service.app.clone(), corner.broker())).await;
    let arrived = corner.all("listener").await;
    assert_eq!(arrived.len(), 1);
    let (delivery, event) = (&arrived[0], serde_json::from_slice::<Value>(&arrived[0].data).unwrap());
    assert_eq!(event, service.get("/events").tenant("other").send().await.expect(200).body["data"][0]);
    assert_eq!(
        (delivery.routing_key.as_str(), delivery.exchange.as_str()),
        ("crm.customer.created", &*corner.name(EVENTS))
    );
    let properties = &delivery.properties;
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), id(&event, "eventId"));
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/json");
    assert_eq!(header(delivery, "x-tenant-id"), "other");
    assert!(header(delivery, "traceparent").starts_with(&format!("00-{}-", id(&event, "traceId"))));
    corner.clear().await;
}

#[tokio::test]
async fn what_cannot_be_routed_is_held_until_it_can_and_never_logged() {
    let (log, _guard) = Log::of_this_thread("trace", LogFormat::Json);
    let service = Service::start().await;
    let corner = Corner::new().await;
    service.create("/customers", json!({ "name": "Canary Ltd" })).await;
    let mut relay = Relay::new(service.app.clone(), corner.broker());
    drain(&service.app, &mut relay).await;
    let standing = relay::standing(&service.app).await.unwrap();
    assert_eq!((standing.position, standing.held), (1, 1));
    assert!(log.text().contains("NO_ROUTE") && !log.text().contains("Canary"), "{}", log.text());
    corner.listen("#").await;
    service.pass(2_000);
    drain(&service.app, &mut relay).await;
    assert_eq!(relay::standing(&service.app).await.unwrap().held, 0);
    assert_eq!(corner.all("listener").await.len(), 1);
    corner.clear().await;
}

/// Stands between the relay and the broker, and cuts.
struct Line {
    address: String,
    cuts: Arc<AtomicU64>,
    closed: Arc<AtomicBool>,
}

impl Line {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url();
        let target = url.rsplit('@').next().unwrap().split('/').next().unwrap().to_owned();
        let address = url.replace(&target, &listener.local_addr().unwrap().to_string());
        let (cuts, closed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (cut, is_closed) = (Arc::clone(&cuts), Arc::clone(&closed));
        tokio::spawn(async move {
            let mut through = JoinSet::new();
            let mut seen = 0;
            loop {
                let accepted = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
                if cut.load(Ordering::SeqCst) != seen {
                    seen = cut.load(Ordering::SeqCst);
                    through.abort_all();
                }
                let Ok(Ok((mut near, _))) = accepted else { continue };
                if is_closed.load(Ordering::SeqCst) {
                    continue;
                }
                let mut far = TcpStream::connect(&target).await.unwrap();
                through.spawn(async move {
                    let _cut_or_ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { address, cuts, closed }
    }

    fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_200_rounds_of_killed_relays_and_cut_connections_all_arrives_in_order() {
    let service = Service::start().await;
    let corner = Corner::new().await;
    corner.listen("#").await;
    let line = Line::new().await;
    let broker = corner.broker_at(&line.address);
    let mut customers = Vec::new();
    for _ in 0..20 {
        customers.push(service.customer().await);
    }
    let (mut committed, mut killed) = (customers.len(), 0);
    let mut relay = Relay::new(service.app.clone(), Arc::clone(&broker));
    for round in 0..200_usize {
        for step in 0..round * 7 % 12 {
            let customer = &customers[(round * 5 + step * 3) % customers.len()];
            let body = json!({ "name": format!("Round {round} {step}") });
            let call = service.patch(&format!("/customers/{customer}"), body);
            assert_eq!(call.send_one_of_many().await.status, 200);
            committed += 1;
        }
        service.app.order_events().await.unwrap();
        line.closed.store(round % 11 == 3, Ordering::SeqCst);
        let mischief = async {
            tokio::time::sleep(Duration::from_micros((round * 997 % 9_000) as u64)).await;
            if round % 3 == 0 {
                line.cut();
            }
        };
        let patience = Duration::from_micros((round * 1_733 % 30_000) as u64);
        let (step, ()) = tokio::join!(tokio::time::timeout(patience, relay.step()), mischief);
        if step.is_err() {
            killed += 1;
            relay.release().await.unwrap();
            relay = Relay::new(service.app.clone(), Arc::clone(&broker));
        }
    }
    line.closed.store(false, Ordering::SeqCst);
    drain(&service.app, &mut relay).await;
    assert_eq!(relay::standing(&service.app).await.unwrap().held, 0);
    // What a dying connection still carries arrives late, and twice: first arrivals count.
    let (mut ids, mut versions) = (HashSet::new(), Versions::default());
    let arrived = corner.all("listener").await;
    for delivery in &arrived {
        let event: Value = serde_json::from_slice(&delivery.data).unwrap();
        if ids.insert(id(&event, "eventId")) {
            versions.next(&event);
        }
    }
    assert_eq!(ids.len(), committed);
    assert!(killed > 20, "only {killed} relays were killed");
    eprintln!("{committed} events, {killed} relays killed, {} duplicates", arrived.len() - committed);
    corner.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_10_000_events_delivered_one_to_five_times_and_shuffled_each_has_one_effect() {
    const EVENTS_SENT: usize = 10_000;
    let service = Service::start().await;
    let corner = Corner::new().await;
    let broker = corner.broker();
    let mut subscriber = broker.subscriber().await.unwrap();
    let customer = service.customer().await;
    let mut copies: Vec<usize> = (0..EVENTS_SENT).flat_map(|number| vec![number; number % 5 + 1]).collect();
    let total = copies.len();
    for place in (1..total).rev() {
        copies.swap(place, place.wrapping_mul(2_654_435_761) % (place + 1));
    }
    let sending = async {
        for number in &copies {
            corner.send("oa.task.completed", task_completed(*number, &customer).to_string().as_bytes()).await;
        }
        corner.send("erp.contract.signed", b"{}").await;
    };
    let ended = |outcome: &str| {
        let text = service.app.metrics().text();
        let name = format!("crm_inbound_events_total{{outcome=\"{outcome}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse::<usize>().ok()).unwrap_or_default()
    };
    let taking = async {
        let mut taken = 0;
        while ended("applied") + ended("duplicate") + ended("dead") <= total {
            service.app.take_batch(&mut *subscriber).await.unwrap();
            taken += 1;
            // A consumer that dies now and then: what it had not settled comes again.
            if taken % 100 == 0 {
                subscriber = broker.subscriber().await.unwrap();
            }
        }
    };
    tokio::join!(sending, taking);
    assert_eq!((ended("applied"), ended("dead")), (EVENTS_SENT, 1));
    assert_eq!(service.read("/follow-ups?pageSize=1").await["total"], EVENTS_SENT);
    drop(subscriber);
    let dead = corner.all(DEAD).await;
    assert_eq!((dead.len(), dead[0].data.as_slice()), (1, b"{}".as_slice()));
    assert_eq!(header(&dead[0], REASON), "missing field `eventId`");
    assert_eq!(corner.all(INBOUND).await.len(), 0);
    corner.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_queued_while_the_broker_was_down_drains_in_order() {
    let queued: usize = variable("TEST_QUEUED").map_or(5_000, |text| text.parse().unwrap());
    let service = Service::start().await;
    let corner = Corner::new().await;
    corner.listen("#").await;
    let mut writing = futures_util::stream::iter(0..queued / 10)
        .map(|_| async {
            let customer = service.customer().await;
            for number in 1..10 {
                let body = json!({ "name": format!("Acme {number}") });
                let call = service.patch(&format!("/customers/{customer}"), body);
                assert_eq!(call.send_one_of_many().await.status, 200);
            }
        })
        .buffer_unordered(64);
    while writing.next().await.is_some() {}
    drop(writing);
    let mut relay = Relay::new(service.app.clone(), corner.broker_at("amqp://127.0.0.1:1"));
    service.app.order_events().await.unwrap();
    assert!(matches!(relay.step().await.unwrap(), Step::Down(_)));
    let mut relay = Relay::new(service.app.clone(), corner.broker());
    let begun = std::time::Instant::now();
    let listening = async {
        let consume = BasicConsumeOptions::default();
        let name = corner.name("listener");
        let mut consumer =
            corner.channel.basic_consume(name.into(), "".into(), consume, FieldTable::default()).await.unwrap();
        let mut versions = Versions::default();
        for _ in 0..queued {
            let delivery = consumer.next().await.unwrap().unwrap();
            versions.next(&serde_json::from_slice(&delivery.data).unwrap());
            delivery.ack(BasicAckOptions::default()).await.unwrap();
        }
    };
    tokio::join!(listening, drain(&service.app, &mut relay));
    eprintln!("{queued} events drained in {:?}", begun.elapsed());
    corner.clear().await;
}
