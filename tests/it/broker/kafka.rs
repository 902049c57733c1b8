//! Kafka, by librdkafka's mock cluster: a broker in this process that speaks Kafka's protocol over TCP; what is published to it.

use std::{sync::Arc, time::Duration};

use crm::{
    broker::{Broker, DEAD_LETTERS, DeliveryOutcome, EVENTS, PLATFORM_TOPICS, kafka::Kafka},
    relay,
};
use rdkafka::{
    ClientConfig, Message,
    consumer::{Consumer, StreamConsumer},
    message::{Headers, OwnedMessage},
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use serde_json::{Value, json};

use crate::harness::{
    PII_KEYS, Service,
    broker::{drain, relay_to},
    events::CustomerVersions,
    id, run_crm,
};

pub(super) struct MockKafka {
    pub(super) mock: MockCluster<'static, DefaultProducerContext>,
    pub(super) addresses: String,
}

impl MockKafka {
    pub(super) fn new() -> Self {
        Self::without("")
    }

    /// All but this topic.
    pub(super) fn without(missing: &str) -> Self {
        let mock = MockCluster::new(1).unwrap();
        let topics = [EVENTS, DEAD_LETTERS].into_iter().chain(PLATFORM_TOPICS);
        for topic in topics.filter(|topic| *topic != missing) {
            mock.create_topic(topic, 3, 1).unwrap();
        }
        let addresses = mock.bootstrap_servers();
        Self { mock, addresses }
    }

    pub(super) fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(Kafka::new(self.addresses.clone()))
    }

    pub(super) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.addresses);
        config
    }

    /// The first `count` messages of a topic.
    pub(super) async fn messages(&self, topic: &str, count: usize) -> Vec<OwnedMessage> {
        let consumer: StreamConsumer =
            self.config().set("group.id", "test").set("auto.offset.reset", "earliest").create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let mut messages = Vec::new();
        while messages.len() < count {
            let message = tokio::time::timeout(Duration::from_secs(20), consumer.recv()).await;
            messages.push(message.expect("too few messages").unwrap().detach());
        }
        messages
    }
}

pub(super) fn header(message: &OwnedMessage, name: &str) -> String {
    let header = message.headers().unwrap().iter().find(|header| header.key == name);
    String::from_utf8(header.unwrap_or_else(|| panic!("no {name}")).value.unwrap().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_in_order_keyed_by_resource_despite_retries() {
    let service = Service::start().await;
    let kafka = MockKafka::new();
    let mut customers = Vec::new();
    for _ in 0..10 {
        customers.push(service.customer().await);
    }
    for number in 0..5 {
        for customer in &customers {
            let body = json!({ "name": format!("Acme {number}") });
            service.patch(&format!("/customers/{customer}"), body).send().await.expect(200);
        }
    }
    // librdkafka itself retries after these.
    let errors = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    ];
    kafka.mock.request_errors(RDKafkaApiKey::Produce, &errors);
    let mut relay = relay_to(&service.app, kafka.broker());
    drain(&service.app, &mut relay).await;
    let status = relay::status(service.app.database()).await.unwrap();
    assert_eq!((status.position, status.blocked), (60, 0));
    let mut versions = CustomerVersions::default();
    for message in kafka.messages(EVENTS, 60).await {
        let event: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
        let customer = versions.assert_next(&event);
        assert_eq!(message.key().unwrap(), format!("default/{customer}").as_bytes());
        assert_eq!(header(&message, "event-id"), id(&event, "eventId"));
        assert_eq!(header(&message, "event-type"), id(&event, "eventType"));
        assert_eq!(header(&message, "x-tenant-id"), "default");
        assert!(header(&message, "traceparent").starts_with(&format!("00-{}-", id(&event, "traceId"))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_events_are_replayed_to_kafka_in_order() {
    let service = Service::start().await;
    let (kafka, late) = (MockKafka::new(), MockKafka::new());
    for _ in 0..4 {
        let customer = service.customer().await;
        for number in 0..4 {
            let body = json!({ "name": format!("Acme {number}") });
            service.patch(&format!("/customers/{customer}"), body).send().await.expect(200);
        }
    }
    drain(&service.app, &mut relay_to(&service.app, kafka.broker())).await;
    let (database, url) = (service.database.url(), format!("kafka://{}", late.addresses));
    let variables = [("CRM_DATABASE_URL", database.as_str()), ("CRM_PII_KEYS", PII_KEYS), ("CRM_EVENTS_URL", &url)];
    let output = run_crm(&["outbox", "replay", "--since", "2026-01-31T09:30:00Z"], &variables);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("20 of 20 events were sent again"), "{output:?}");
    let mut versions = CustomerVersions::default();
    for message in late.messages(EVENTS, 20).await {
        versions.assert_next(&serde_json::from_slice(message.payload().unwrap()).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversized_messages_are_refused_and_a_missing_broker_never_confirms() {
    let message = |size: usize| crm::broker::Message {
        id: uuid::Uuid::nil(),
        event_type: "crm.customer.created".to_owned(),
        tenant: "default".to_owned(),
        aggregate: uuid::Uuid::nil(),
        at: chrono::DateTime::UNIX_EPOCH,
        traceparent: String::new(),
        payload: vec![b'x'; size],
    };
    let kafka = MockKafka::new();
    let mut publisher = kafka.broker().publisher().await.unwrap();
    let outcomes = publisher.publish(&[message(10), message(2_000_000), message(10)]).await;
    assert!(
        matches!(outcomes[..], [DeliveryOutcome::Confirmed, DeliveryOutcome::Refused(_), DeliveryOutcome::Confirmed]),
        "{outcomes:?}"
    );
    let mut publisher = Kafka::new("127.0.0.1:1".to_owned()).publisher().await.unwrap();
    let outcomes = publisher.publish(&[message(10)]).await;
    assert!(matches!(outcomes[..], [DeliveryOutcome::Unanswered(_)]), "{outcomes:?}");
}
