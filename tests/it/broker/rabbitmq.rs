//! RabbitMQ at `TEST_AMQP_URL`. Each test has exchanges and queues of its own.

use std::{collections::HashSet, sync::Arc, time::Duration};

use crm::{
    broker::{
        Broker, DEAD_LETTERS, DeliveryOutcome, EVENTS, INBOUND, Message, PLATFORM, REASON, RETRIES, rabbitmq::RabbitMq,
    },
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
        ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener, time::timeout};

use crate::harness::{
    AMPLE, Log, Proxy, Service,
    broker::{drain, relay_to},
    events::{CustomerVersions, task_completed},
    id,
    rabbitmq::bind_queue,
    variable,
};

/// Before an event that was delayed comes again.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

pub(super) fn url() -> String {
    variable("TEST_AMQP_URL").unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned())
}

/// The broker's `host:port`.
pub(super) fn server() -> String {
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

    pub(super) fn broker_at(&self, url: &str) -> Arc<dyn Broker> {
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
async fn a_queue_bound_to_one_type_gets_its_event_at_once_whatever_precedes_it() {
    let (log, _guard) = Log::of_this_thread("trace", LogFormat::Json);
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    rabbitmq.bind_listener("crm.opportunity.closed").await;
    let mut relay = relay_to(&service.app, rabbitmq.broker());
    for number in 0..3 {
        let customer = id(&service.create("/customers", json!({ "name": "Canary Ltd" })).await, "customerId");
        let opportunity = service.opportunity(&customer).await;
        service.patch(&format!("/opportunities/{opportunity}"), json!({ "status": 1 })).send().await.expect(200);
        drain(&service.app, &mut relay).await;
        let arrived = rabbitmq.drain_queue("listener").await;
        assert_eq!(arrived.len(), 1, "in round {number}");
        let event: Value = serde_json::from_slice(&arrived[0].data).unwrap();
        assert_eq!(id(&event["data"]["resource"], "opportunityId"), opportunity);
    }
    let status = relay::status(service.app.database()).await.unwrap();
    assert_eq!((status.position, status.blocked), (9, 0));
    let metrics = service.app.metrics().text();
    for line in ["crm_events_published_total 9", "crm_events_unrouted_total 6", "crm_events_refused_total 0"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    // Once for each of the two types that nobody is bound to, without content.
    assert_eq!(log.text().matches("no queue is bound").count(), 2, "{}", log.text());
    assert!(!log.text().contains("Canary"), "{}", log.text());
    rabbitmq.delete().await;
}

#[tokio::test]
async fn events_that_nobody_is_bound_to_are_told_from_their_neighbours_in_a_batch() {
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    rabbitmq.bind_listener("crm.customer.created").await;
    let mut publisher = rabbitmq.broker().publisher().await.unwrap();
    for round in 0..20 {
        let messages: Vec<Message> = (0..100)
            .map(|number| Message {
                id: service.app.new_id(),
                event_type: if number % 3 == round % 3 { "crm.customer.deleted" } else { "crm.customer.created" }
                    .to_owned(),
                tenant: "default".to_owned(),
                aggregate: service.app.new_id(),
                at: chrono::DateTime::UNIX_EPOCH,
                traceparent: String::new(),
                payload: b"{}".to_vec(),
            })
            .collect();
        let expected = messages.iter().map(|message| match message.event_type.as_str() {
            "crm.customer.deleted" => DeliveryOutcome::Unrouted,
            _ => DeliveryOutcome::Confirmed,
        });
        let expected: Vec<_> = expected.collect();
        assert_eq!(publisher.publish(&messages).await, expected);
    }
    rabbitmq.delete().await;
}

#[tokio::test]
async fn an_event_that_a_full_queue_rejects_is_blocked_and_retried() {
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    let mut full = FieldTable::default();
    full.insert("x-max-length".into(), AMQPValue::LongInt(1));
    full.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let queue = rabbitmq.name("listener");
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    rabbitmq.channel.queue_declare(queue.as_str().into(), options, full).await.unwrap();
    let mut relay = relay_to(&service.app, rabbitmq.broker());
    drain(&service.app, &mut relay).await;
    let mut publisher = rabbitmq.broker().publisher().await.unwrap();
    drop(publisher.publish(&[]).await);
    let bind = QueueBindOptions::default();
    let (queue, exchange) = (queue.as_str().into(), rabbitmq.name(EVENTS).into());
    rabbitmq.channel.queue_bind(queue, exchange, "#".into(), bind, FieldTable::default()).await.unwrap();
    for _ in 0..2 {
        service.customer().await;
        drain(&service.app, &mut relay).await;
    }
    let status = relay::status(service.app.database()).await.unwrap();
    assert_eq!((status.position, status.blocked), (2, 1));
    assert_eq!(rabbitmq.drain_queue("listener").await.len(), 1);
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
    // On a busy machine everything takes longer: kills that come too early would show nothing.
    let started = std::time::Instant::now();
    drain(&service.app, &mut relay).await;
    let slowness = u64::try_from(started.elapsed().as_millis() / 20).unwrap().clamp(1, 20);
    let micros = |number: usize| Duration::from_micros(number as u64 * slowness);
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
            tokio::time::sleep(micros(round * 997 % 40_000)).await;
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
        let limit = micros(round * 1_733 % 60_000);
        let (step, ()) = tokio::join!(timeout(limit, publishing), disconnect);
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
            let _killed = timeout(limit, service.inbound().consume(&*broker)).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_that_fell_silent_are_noticed_within_30_s_and_made_anew() {
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    rabbitmq.bind_listener("#").await;
    let proxy = Proxy::to(server()).await;
    let url = url().replace(&server(), &format!("127.0.0.1:{}", proxy.port()));
    let broker = rabbitmq.broker_at(&url);
    let mut relay = relay_to(&service.app, Arc::clone(&broker));
    drain(&service.app, &mut relay).await;
    // A longer time in the address is cut short.
    let patient = rabbitmq.broker_at(&format!("{url}?heartbeat=600"));
    let mut subscriber = patient.subscriber(&event_types(), AMPLE).await.unwrap();
    let breaker = |open: u8| service.app.metrics().text().contains(&format!("crm_broker_breaker_open {open}"));
    assert!(breaker(0));
    proxy.silence_connections();
    let publishing = async {
        while !matches!(relay.step().await.unwrap(), Step::Down(_)) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let both = async { tokio::join!(publishing, subscriber.next()) };
    let ((), taken) = timeout(Duration::from_secs(30), both).await.expect("not noticed");
    assert!(taken.is_err());
    assert!(breaker(1));
    assert!(log.text().contains("heartbeat"), "{}", log.text());
    // Before there is an event again.
    drain(&service.app, &mut relay).await;
    assert!(breaker(0));
    service.customer().await;
    outbox::assign_positions(service.app.database()).await.unwrap();
    assert_eq!(relay.step().await.unwrap(), Step::Sent(1));
    assert_eq!(rabbitmq.drain_queue("listener").await.len(), 1);
    drop(subscriber);
    rabbitmq.delete().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_accepts_and_says_nothing_is_given_up_with_its_sockets() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let broker = RabbitMq::new(Secret::new(url), String::new());
    for _ in 0..2 {
        let asked = async {
            let types = event_types();
            tokio::join!(broker.publisher(), broker.subscriber(&types, AMPLE))
        };
        let accepted = async { [silent.accept().await.unwrap().0, silent.accept().await.unwrap().0] };
        let ((publisher, subscriber), sockets) = tokio::join!(asked, accepted);
        assert!(publisher.is_err() && subscriber.is_err());
        for mut socket in sockets {
            let mut said = Vec::new();
            // It ends: nothing of the attempt is left behind.
            timeout(AMPLE, socket.read_to_end(&mut said)).await.unwrap().unwrap();
            assert!(said.starts_with(b"AMQP"), "{said:?}");
        }
    }
}
