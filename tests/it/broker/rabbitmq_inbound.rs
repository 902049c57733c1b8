//! The platform's events at RabbitMQ: those that nobody can apply, those that come too early, and queues that others declared.

use std::{collections::HashSet, time::Duration};

use crm::{
    broker::{
        ATTEMPTS, Broker, DEAD_LETTERS, DEAD_SINCE, DeadLetter, DeadLetterAction, Down, INBOUND, ORIGIN, PLATFORM,
        REASON, RETRIES,
    },
    inbound::{DeadLetterSummary, event_types},
    telemetry::LogFormat,
};
use lapin::{
    BasicProperties, ExchangeKind,
    options::{BasicPublishOptions, ExchangeDeclareOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldArray, FieldTable},
};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use super::rabbitmq::{Namespace, PAUSE, header};
use crate::harness::{DAY, Log, Service, UNKNOWN_ID, events::task_completed, id, sql::uuid_literal, within};

/// In every value of every event that is not applied.
const CANARY: &str = "13812345678 goldcrest";

impl Namespace {
    pub(super) async fn publish(&self, key: &str, event: &[u8], properties: BasicProperties) {
        let (exchange, options) = (self.name(PLATFORM), BasicPublishOptions::default());
        let sent = self.channel.basic_publish(exchange.into(), key.into(), options, event, properties).await.unwrap();
        sent.await.unwrap();
    }

    /// Declares everything, so that nothing that is sent goes nowhere.
    pub(super) async fn declare(&self) -> std::sync::Arc<dyn Broker> {
        let broker = self.broker();
        drop(broker.subscriber(&event_types(), PAUSE).await.unwrap());
        broker
    }

    pub(super) async fn declare_queue(&self, name: &str, arguments: &[(&str, AMQPValue)]) {
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(self.name(name).into(), durable, table(arguments)).await.unwrap();
    }

    /// How many messages wait in a queue, and are under way to nobody.
    pub(super) async fn waiting(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        self.channel
            .queue_declare(self.name(queue).into(), passive, FieldTable::default())
            .await
            .unwrap()
            .message_count()
    }
}

pub(super) fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

pub(super) fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// Consumes until the condition holds, and fails if it does not within a minute.
pub(super) async fn consume_until(
    service: &Service,
    broker: &dyn Broker,
    what: &str,
    holds: impl AsyncFnMut() -> bool,
) {
    let inbound = service.inbound();
    tokio::select! {
        Down(reason) = inbound.consume(broker) => panic!("{what}: {reason}"),
        () = within(60, what, holds) => {}
    }
}

/// Events that cannot be applied, each with properties of its own.
fn poison() -> Vec<(Vec<u8>, BasicProperties)> {
    let long = |size: usize| CANARY.repeat(size / CANARY.len() + 1);
    let signed = |fields: &str| {
        format!(
            r#"{{"eventId":"poison","eventType":"erp.contract.signed","timestamp":"2026-01-01T00:00:00Z",{fields}}}"#
        )
        .into_bytes()
    };
    let plain = |event: Vec<u8>| (event, BasicProperties::default());
    let mut poison = vec![
        plain(Vec::new()),
        plain(vec![0xff; 100_000]),
        plain(vec![b'['; 200_000]),
        plain(format!("\"{CANARY}\"").into_bytes()),
        plain(signed(&format!(r#""data":"{CANARY}""#))),
        plain(signed(&format!(r#""data":{{"tenantId":{{"{CANARY}":1}},"customerId":["{CANARY}"]}}"#))),
        plain(signed(&format!(r#""data":{{"tenantId":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000)))),
        plain(signed(&format!(r#""{}":1,"data":{{}}"#, long(100_000)))),
        plain(signed(&format!(r#""traceId":{{"{CANARY}":"{CANARY}"}},"data":{{}}"#))),
        plain(format!(r#"{{"eventId":"{}","eventType":"erp.contract.signed"}}"#, long(90_000)).into_bytes()),
        plain(signed("\"data\":{}").repeat(2)),
        plain(
            json!({ "eventId": "x", "eventType": long(100_000), "timestamp": "2026-01-01T00:00:00Z", "data": {} })
                .to_string()
                .into_bytes(),
        ),
        plain(json!({ "eventId": "x", "eventType": 5, "timestamp": CANARY, "data": {} }).to_string().into_bytes()),
    ];
    poison.extend(
        [90_000, 131_000, 200_000, 1_000_000].map(|size| plain(signed(&format!(r#""data":"{}""#, long(size))))),
    );
    // What the broker acts upon, and what no frame would hold together with a reason.
    let of = |number: usize| signed(&format!(r#""data":"{CANARY} {number}""#));
    let copies = AMQPValue::FieldArray(FieldArray::from(vec![text("crm.inbound")]));
    poison.extend([
        (of(1), BasicProperties::default().with_headers(table(&[("large", text(&"x".repeat(130_000)))]))),
        (of(2), BasicProperties::default().with_headers(table(&[("CC", copies)]))),
        (of(3), BasicProperties::default().with_expiration("60000".into()).with_user_id("guest".into())),
        (of(4), BasicProperties::default().with_headers(table(&[(ATTEMPTS, AMQPValue::LongLongInt(i64::MIN))]))),
        (of(5), BasicProperties::default().with_headers(table(&[(REASON, text(&long(10_000)))]))),
    ]);
    poison
}

#[tokio::test]
async fn poison_ends_as_dead_letters_and_holds_up_no_good_event() {
    let (log, _guard) = Log::of_this_thread("trace", LogFormat::Json);
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    let broker = rabbitmq.declare().await;
    let customer = service.customer().await;
    let poison = poison();
    let each = 150 / poison.len() + 1;
    for (number, (event, properties)) in poison.iter().enumerate() {
        rabbitmq.publish("erp.contract.signed", event, properties.clone()).await;
        for good in number * each..((number + 1) * each).min(150) {
            rabbitmq.send("oa.task.completed", task_completed(good, &customer).to_string().as_bytes()).await;
        }
    }
    log.clear();
    consume_until(&service, &*broker, "all are settled", async || {
        service.inbound_count("applied") == 150 && service.inbound_count("dead") == poison.len()
    })
    .await;
    assert_eq!(service.read("/follow-ups?pageSize=1").await["total"], 150);
    let dead = rabbitmq.drain_queue(DEAD_LETTERS).await;
    let bodies = |events: Vec<&[u8]>| events.into_iter().map(<[u8]>::to_vec).collect::<HashSet<_>>();
    assert_eq!(dead.len(), poison.len());
    assert_eq!(
        bodies(dead.iter().map(|letter| letter.data.as_slice()).collect()),
        bodies(poison.iter().map(|(event, _)| event.as_slice()).collect())
    );
    for letter in &dead {
        let reason = header(letter, REASON);
        assert!(!reason.is_empty() && reason.chars().count() <= 500 && !reason.contains("1381"), "{reason:.600}");
        assert!(header(letter, DEAD_SINCE).starts_with("2026-01-31T09:30:00"));
        assert_eq!(header(letter, ORIGIN), "erp.contract.signed");
        assert!(letter.properties.expiration().is_none());
    }
    assert_eq!((rabbitmq.waiting(INBOUND).await, rabbitmq.waiting(RETRIES).await), (0, 0));
    let log = log.untimed();
    assert!(!log.contains("1381") && !log.contains("goldcrest"), "{log:.3000}");
    // A line for each, and few others.
    assert!(log.lines().count() < poison.len() + 200, "{} lines", log.lines().count());
    assert!(log.lines().all(|line| line.len() < 2_000));
    rabbitmq.delete().await;
}

#[tokio::test]
async fn dead_letters_that_the_broker_refuses_are_rejected_and_told() {
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    let full = [("x-max-length", AMQPValue::LongInt(1)), ("x-overflow", text("reject-publish"))];
    rabbitmq.declare_queue(DEAD_LETTERS, &full).await;
    let broker = rabbitmq.declare().await;
    let customer = service.customer().await;
    for number in 0..20 {
        rabbitmq.send("erp.contract.signed", b"{}").await;
        rabbitmq.send("oa.task.completed", task_completed(number, &customer).to_string().as_bytes()).await;
    }
    let count = |outcome: &str| service.inbound_count(outcome);
    consume_until(&service, &*broker, "all are settled", async || {
        count("applied") == 20 && count("dead") + count("rejected") == 20
    })
    .await;
    assert!(count("dead") >= 1 && count("rejected") >= 1);
    let told = log.saying("an event of the platform is rejected: the broker does not take it as a dead letter");
    assert_eq!((told.len(), &told[0]["level"]), (count("rejected"), &json!("ERROR")));
    assert_eq!(rabbitmq.drain_queue(DEAD_LETTERS).await.len(), count("dead"));
    assert_eq!(rabbitmq.waiting(INBOUND).await, 0);
    rabbitmq.delete().await;
}

#[tokio::test]
async fn an_event_continues_the_trace_of_its_header_also_after_a_delay() {
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    let broker = rabbitmq.declare().await;
    let (customer, early) = (service.customer().await, service.customer().await);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let headers = table(&[("traceparent", text(&format!("00-{trace}-00f067aa0ba902b7-01")))]);
    let properties = BasicProperties::default().with_headers(headers);
    for (number, of) in [(1, customer.as_str()), (2, UNKNOWN_ID)] {
        let event = task_completed(number, of).to_string();
        rabbitmq.publish("oa.task.completed", event.as_bytes(), properties.clone()).await;
    }
    consume_until(&service, &*broker, "the early one waits", async || {
        service.inbound_count("applied") == 1 && service.inbound_count("retried") > 0
    })
    .await;
    let arrives = format!(
        "UPDATE customers SET customer_id = {} WHERE customer_id = {}",
        uuid_literal(UNKNOWN_ID),
        uuid_literal(&early)
    );
    service.database.connect().await.execute_unprepared(&arrives).await.unwrap();
    consume_until(&service, &*broker, "both", async || service.inbound_count("applied") == 2).await;
    let entries = service.trail("resourceType=followUp").await;
    let traces: Vec<&str> = entries.iter().map(|entry| entry["traceId"].as_str().unwrap()).collect();
    assert_eq!(traces, [trace, trace]);
    rabbitmq.delete().await;
}

#[tokio::test]
async fn early_events_wait_for_their_customer_and_hold_up_no_others() {
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    let broker = rabbitmq.declare().await;
    let (customer, other) = (service.customer().await, service.customer().await);
    // More than are taken at once.
    for number in 0..100 {
        rabbitmq.send("oa.task.completed", task_completed(number, UNKNOWN_ID).to_string().as_bytes()).await;
    }
    rabbitmq.send("oa.task.completed", task_completed(1000, &other).to_string().as_bytes()).await;
    let mut patient = service.inbound();
    patient.retry_policy.retries = 1_000;
    tokio::select! {
        Down(reason) = patient.consume(&*broker) => panic!("{reason}"),
        () = within(60, "the good one", async || service.inbound_count("applied") == 1) => {}
    }
    // The consumer has died; they go on waiting at the broker, and with the next one.
    tokio::select! {
        Down(reason) = patient.consume(&*broker) => panic!("{reason}"),
        () = within(60, "more attempts", async || service.inbound_count("retried") > 300) => {}
    }
    assert_eq!(rabbitmq.waiting(DEAD_LETTERS).await, 0);
    let arrives = format!(
        "UPDATE customers SET customer_id = {} WHERE customer_id = {}",
        uuid_literal(UNKNOWN_ID),
        uuid_literal(&customer)
    );
    service.database.connect().await.execute_unprepared(&arrives).await.unwrap();
    tokio::select! {
        Down(reason) = patient.consume(&*broker) => panic!("{reason}"),
        () = within(60, "all", async || {
            service.read(&format!("/follow-ups?pageSize=1&customerId={UNKNOWN_ID}")).await["total"] == 100
        }) => {}
    }
    assert_eq!(service.inbound_count("dead"), 0);
    rabbitmq.delete().await;
}

#[tokio::test]
async fn events_without_their_customer_end_as_dead_letters() {
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    let broker = rabbitmq.declare().await;
    rabbitmq.send("oa.task.completed", task_completed(0, UNKNOWN_ID).to_string().as_bytes()).await;
    rabbitmq.send("oa.task.completed", task_completed(1, "no id").to_string().as_bytes()).await;
    // A clock that goes back makes nothing wait longer.
    service.advance(-10 * DAY);
    consume_until(&service, &*broker, "both are dead", async || service.inbound_count("dead") == 2).await;
    // The other one can never be applied, and did not wait.
    assert_eq!(service.inbound_count("retried"), 5);
    let dead = rabbitmq.drain_queue(DEAD_LETTERS).await;
    for letter in &dead {
        assert!(header(letter, REASON).ends_with("customerId: must be the id of an existing resource"));
        assert!(!letter.properties.headers().clone().unwrap().inner().contains_key(ATTEMPTS));
    }
    rabbitmq.delete().await;
}

#[tokio::test]
async fn queues_that_others_declared_are_used_as_they_are() {
    let (log, _guard) = Log::of_this_thread("warn", LogFormat::Json);
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    let quorum = [("x-queue-type", text("quorum"))];
    rabbitmq.declare_queue(INBOUND, &quorum).await;
    rabbitmq.declare_queue(DEAD_LETTERS, &quorum).await;
    // It does not lead back: what would lie there would be lost.
    rabbitmq.declare_queue(RETRIES, &quorum).await;
    let (exchange, options) =
        (rabbitmq.name(PLATFORM), ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() });
    let arguments = table(&[("alternate-exchange", text("amq.fanout"))]);
    rabbitmq.channel.exchange_declare(exchange.into(), ExchangeKind::Topic, options, arguments).await.unwrap();
    let broker = rabbitmq.declare().await;
    let customer = service.customer().await;
    rabbitmq.send("erp.contract.signed", b"{}").await;
    rabbitmq.send("oa.task.completed", task_completed(0, &customer).to_string().as_bytes()).await;
    rabbitmq.send("oa.task.completed", task_completed(1, UNKNOWN_ID).to_string().as_bytes()).await;
    consume_until(&service, &*broker, "all are settled", async || {
        service.inbound_count("applied") == 1 && service.inbound_count("dead") == 2
    })
    .await;
    assert_eq!(service.inbound_count("retried"), 5);
    assert_eq!(rabbitmq.drain_queue(DEAD_LETTERS).await.len(), 2);
    let told = log.saying("it cannot be declared as this service would, and is used as it is");
    let names: HashSet<String> = told.iter().map(|line| id(line, "name")).collect();
    assert_eq!(
        (names, told.len()),
        (HashSet::from([DEAD_LETTERS, INBOUND, PLATFORM].map(|name| rabbitmq.name(name))), 3)
    );
    assert_eq!(log.saying("it may not lead back to its queue: another takes its place").len(), 1);
    let spare = format!("{RETRIES}.{}", PAUSE.as_millis());
    assert_eq!(rabbitmq.waiting(&spare).await, 0);
    rabbitmq.channel.queue_delete(rabbitmq.name(&spare).into(), QueueDeleteOptions::default()).await.unwrap();
    rabbitmq.delete().await;
}

#[tokio::test]
async fn a_quorum_queue_that_leads_back_holds_what_waits() {
    let (log, _guard) = Log::of_this_thread("warn", LogFormat::Json);
    let rabbitmq = Namespace::new().await;
    let pause = i32::try_from(PAUSE.as_millis()).unwrap();
    let arguments = [
        ("x-queue-type", text("quorum")),
        ("x-message-ttl", AMQPValue::LongInt(pause)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&rabbitmq.name(INBOUND))),
    ];
    rabbitmq.declare_queue(RETRIES, &arguments).await;
    rabbitmq.declare().await;
    let told = log.saying("it cannot be declared as this service would, and is used as it is");
    assert_eq!((told.len(), told[0]["name"].as_str().unwrap()), (1, &*rabbitmq.name(RETRIES)));
    rabbitmq.delete().await;
}

#[tokio::test]
async fn an_exchange_of_another_type_is_refused_with_the_reason() {
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    let (exchange, options) =
        (rabbitmq.name(PLATFORM), ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() });
    let fanout =
        rabbitmq.channel.exchange_declare(exchange.into(), ExchangeKind::Fanout, options, FieldTable::default());
    fanout.await.unwrap();
    let Down(reason) = service.inbound().consume(&*rabbitmq.broker()).await;
    assert!(reason.contains(&rabbitmq.name(PLATFORM)) && reason.contains("current is 'fanout'"), "{reason}");
    assert!(service.app.metrics().text().contains("crm_inbound_connected 0\n"));
    rabbitmq.delete().await;
}

#[tokio::test]
async fn a_sender_cannot_send_under_another_ones_routing_key() {
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    let broker = rabbitmq.declare().await;
    let customer = service.customer().await;
    let event = task_completed(0, &customer).to_string().into_bytes();
    rabbitmq.send("erp.contract.signed", &event).await;
    // What waits, and what an operator retries, keeps its sender.
    let forged = task_completed(1, UNKNOWN_ID).to_string().into_bytes();
    rabbitmq
        .publish(
            "erp.contract.signed",
            &forged,
            BasicProperties::default().with_headers(table(&[(ORIGIN, text("oa.x"))])),
        )
        .await;
    consume_until(&service, &*broker, "both are dead", async || service.inbound_count("dead") == 2).await;
    let mut all = |_: &DeadLetter| true;
    assert_eq!(broker.dead_letters(DeadLetterAction::Retry, u64::MAX, &mut all).await.unwrap(), 2);
    consume_until(&service, &*broker, "both again", async || service.inbound_count("dead") == 4).await;
    for letter in rabbitmq.drain_queue(DEAD_LETTERS).await {
        assert!(header(&letter, REASON).starts_with("eventType: is not of the sender"), "{}", header(&letter, REASON));
    }
    assert_eq!(service.read("/follow-ups").await["total"], 0);
    rabbitmq.delete().await;
}

#[tokio::test]
async fn dead_letters_are_listed_retried_and_dropped_and_none_is_lost() {
    let service = Service::start().await;
    let rabbitmq = Namespace::new().await;
    let broker = rabbitmq.declare().await;
    for number in 0..6 {
        rabbitmq.send("oa.task.completed", task_completed(number, UNKNOWN_ID).to_string().as_bytes()).await;
    }
    let mut impatient = service.inbound();
    impatient.retry_policy.retries = 0;
    tokio::select! {
        Down(reason) = impatient.consume(&*broker) => panic!("{reason}"),
        () = within(60, "all are dead", async || service.inbound_count("dead") == 6) => {}
    }
    let ids = async || {
        let mut ids = Vec::new();
        let mut list = |letter: &DeadLetter| {
            let summary = DeadLetterSummary::of(letter);
            assert_eq!(summary.reason, "customerId: must be the id of an existing resource");
            assert_eq!(
                (summary.event_type.as_deref(), summary.sender.as_deref()),
                (Some("oa.task.completed"), Some("oa"))
            );
            ids.push(summary.event_id.unwrap());
            true
        };
        broker.dead_letters(DeadLetterAction::List, u64::MAX, &mut list).await.unwrap();
        ids
    };
    let before = ids().await;
    assert_eq!(before.iter().collect::<HashSet<_>>().len(), 6);
    assert_eq!(ids().await, before, "their order changed");
    let with = |id: &str| {
        let id = id.to_owned();
        move |letter: &DeadLetter| DeadLetterSummary::of(letter).event_id.as_deref() == Some(&id)
    };
    let retried = broker.dead_letters(DeadLetterAction::Retry, u64::MAX, &mut with(&before[1])).await;
    assert_eq!(retried.unwrap(), 6);
    let retried = rabbitmq.drain_queue(INBOUND).await;
    assert_eq!(retried.len(), 1);
    assert!(String::from_utf8_lossy(&retried[0].data).contains(&format!("\"{}\"", before[1])));
    broker.dead_letters(DeadLetterAction::Delete, u64::MAX, &mut with(&before[3])).await.unwrap();
    let kept = [0, 2, 4, 5].map(|index| before[index].clone());
    assert_eq!(ids().await, kept);

    // A command that is killed in the middle: what it had taken comes back, or is already where it goes.
    for millis in 0..40 {
        let mut all = |_: &DeadLetter| true;
        let retrying = broker.dead_letters(DeadLetterAction::Retry, u64::MAX, &mut all);
        let _killed = tokio::time::timeout(Duration::from_millis(millis), retrying).await;
    }
    within(60, "all are retried", async || {
        let mut all = |_: &DeadLetter| true;
        broker.dead_letters(DeadLetterAction::Retry, u64::MAX, &mut all).await.unwrap() == 0
    })
    .await;
    let arrived = rabbitmq.drain_queue(INBOUND).await;
    let arrived: HashSet<String> = arrived
        .iter()
        .filter_map(|event| serde_json::from_slice::<Value>(&event.data).ok())
        .map(|event| id(&event, "eventId"))
        .collect();
    assert_eq!(arrived, kept.into_iter().collect());
    rabbitmq.delete().await;
}
