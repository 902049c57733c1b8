//! Against the mock cluster of librdkafka: a broker in this process that speaks Kafka's protocol over TCP.

use std::{sync::Arc, time::Duration};

use crm::events::{
    broker::{
        Broker, DEAD, EVENTS, Outcome, REASON,
        kafka::{Kafka, PLATFORM_TOPICS},
    },
    relay::{self, Relay},
};
use rdkafka::{
    ClientConfig, Message,
    consumer::{Consumer, StreamConsumer},
    message::{Headers, OwnedMessage},
    mocking::MockCluster,
    producer::{DefaultProducerContext, FutureProducer, FutureRecord},
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use serde_json::{Value, json};

use crate::harness::{
    Service,
    broker::{Versions, drain, task_completed},
    id,
};

struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
    addresses: String,
}

impl Cluster {
    fn new() -> Self {
        let mock = MockCluster::new(1).unwrap();
        for topic in [EVENTS, DEAD].iter().chain(&PLATFORM_TOPICS) {
            mock.create_topic(topic, 3, 1).unwrap();
        }
        let addresses = mock.bootstrap_servers();
        Self { mock, addresses }
    }

    fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(Kafka::new(self.addresses.clone()))
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.addresses);
        config
    }

    /// So many messages of a topic.
    async fn messages(&self, topic: &str, count: usize) -> Vec<OwnedMessage> {
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

fn header(message: &OwnedMessage, name: &str) -> String {
    let header = message.headers().unwrap().iter().find(|header| header.key == name);
    String::from_utf8(header.unwrap_or_else(|| panic!("no {name}")).value.unwrap().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_under_the_key_of_their_resource_in_order_also_after_trouble() {
    let service = Service::start().await;
    let cluster = Cluster::new();
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
    // The client sends these again by itself.
    let trouble = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    ];
    cluster.mock.request_errors(RDKafkaApiKey::Produce, &trouble);
    let mut relay = Relay::new(service.app.clone(), cluster.broker());
    drain(&service.app, &mut relay).await;
    let standing = relay::standing(&service.app).await.unwrap();
    assert_eq!((standing.position, standing.held), (60, 0));
    let mut versions = Versions::default();
    for message in cluster.messages(EVENTS, 60).await {
        let event: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
        let customer = versions.next(&event);
        assert_eq!(message.key().unwrap(), format!("default/{customer}").as_bytes());
        assert_eq!(header(&message, "event-id"), id(&event, "eventId"));
        assert_eq!(header(&message, "event-type"), id(&event, "eventType"));
        assert_eq!(header(&message, "x-tenant-id"), "default");
        assert!(header(&message, "traceparent").starts_with(&format!("00-{}-", id(&event, "traceId"))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_large_is_refused_and_a_broker_that_is_not_there_answers_nothing() {
    let message = |size: usize| crm::events::broker::Message {
        id: uuid::Uuid::nil(),
        event_type: "crm.customer.created".to_owned(),
        tenant: "default".to_owned(),
        aggregate: uuid::Uuid::nil(),
        at: chrono::DateTime::UNIX_EPOCH,
        traceparent: String::new(),
        payload: vec![b'x'; size],
    };
    let cluster = Cluster::new();
    let mut publisher = cluster.broker().publisher().await.unwrap();
    let outcomes = publisher.publish(&[message(10), message(2_000_000), message(10)]).await;
    assert!(matches!(outcomes[..], [Outcome::Confirmed, Outcome::Refused(_), Outcome::Confirmed]), "{outcomes:?}");
    let mut publisher = Kafka::new("127.0.0.1:1".to_owned()).publisher().await.unwrap();
    let outcomes = publisher.publish(&[message(10)]).await;
    assert!(matches!(outcomes[..], [Outcome::Unanswered(_)]), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_platforms_events_are_applied_once_and_bad_ones_go_to_a_topic_of_their_own() {
    let service = Service::start().await;
    let cluster = Cluster::new();
    let customer = service.customer().await;
    let producer: FutureProducer = cluster.config().create().unwrap();
    let send = async |topic: &str, event: String| {
        let record = FutureRecord::<str, str>::to(topic).payload(&event);
        producer.send(record, Duration::ZERO).await.unwrap();
    };
    let mut sent = 0;
    for number in 0..40 {
        for _ in 0..=number % 3 {
            send("oa.events", task_completed(number, &customer).to_string()).await;
            sent += 1;
        }
    }
    let signed = json!({ "eventId": "s", "eventType": "erp.contract.signed", "timestamp": "2026-01-31T09:30:00Z",
        "data": { "tenantId": "default", "customerId": customer } });
    send("erp.events", signed.to_string()).await;
    send("erp.events", "{}".to_owned()).await;
    let broker = cluster.broker();
    let ended = || {
        let text = service.app.metrics().text();
        let counts = text.lines().filter(|line| line.starts_with("crm_inbound_events_total"));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum::<usize>()
    };
    // The first consumer dies when it has taken a part.
    let mut subscriber = broker.subscriber().await.unwrap();
    service.app.take_batch(&mut *subscriber).await.unwrap();
    drop(subscriber);
    let mut subscriber = broker.subscriber().await.unwrap();
    let all = tokio::time::timeout(Duration::from_secs(60), async {
        while ended() < sent + 2 {
            service.app.take_batch(&mut *subscriber).await.unwrap();
        }
    });
    all.await.expect("not all events came");
    assert_eq!(service.read("/follow-ups?pageSize=1").await["total"], 40);
    assert_eq!(service.read(&format!("/customers/{customer}")).await["status"], 1);
    let dead = cluster.messages(DEAD, 1).await;
    assert_eq!(dead[0].payload().unwrap(), b"{}");
    assert_eq!(header(&dead[0], REASON), "missing field `eventId`");
}
