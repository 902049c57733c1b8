//! The platform's events on Kafka, by librdkafka's mock cluster.

use std::time::Duration;

use crm::{
    broker::{DEAD_LETTERS, DeadLetter, DeadLetterAction, Down, ORIGIN, REASON, kafka::Kafka},
    telemetry::LogFormat,
};
use rdkafka::{
    Message,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use sea_orm::ConnectionTrait;
use serde_json::json;

use super::kafka::{MockKafka, header};
use crate::harness::{AMPLE, Log, Service, UNKNOWN_ID, events::task_completed, run_crm, sql::uuid_literal, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inbound_events_apply_once_and_bad_ones_go_to_the_dead_letter_topic() {
    let service = Service::start().await;
    let kafka = MockKafka::new();
    let customer = service.customer().await;
    let producer: FutureProducer = kafka.config().create().unwrap();
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
    let broker = kafka.broker();
    let ended = || ["applied", "duplicate", "dead"].iter().map(|outcome| service.inbound_count(outcome)).sum::<usize>();
    // The first consumer dies in the middle.
    let inbound = service.inbound();
    tokio::select! {
        Down(reason) = inbound.consume(&*broker) => panic!("{reason}"),
        () = within(60, "the first events", async || ended() > 0) => {}
    }
    tokio::select! {
        Down(reason) = inbound.consume(&*broker) => panic!("{reason}"),
        () = within(60, "all events", async || ended() >= sent + 2) => {}
    }
    assert_eq!(service.read("/follow-ups?pageSize=1").await["total"], 40);
    assert_eq!(service.read(&format!("/customers/{customer}")).await["status"], 1);
    let dead = kafka.messages(DEAD_LETTERS, 1).await;
    assert_eq!(dead[0].payload().unwrap(), b"{}");
    assert_eq!(header(&dead[0], REASON), "missing field `eventId`");
}

impl MockKafka {
    async fn send(&self, topic: &str, event: &[u8]) {
        let producer: FutureProducer = self.config().set("message.max.bytes", "10000000").create().unwrap();
        producer.send(FutureRecord::<[u8], [u8]>::to(topic).payload(event), Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_continues_the_trace_of_its_header() {
    let (service, kafka) = (Service::start().await, MockKafka::new());
    let customer = service.customer().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traceparent = format!("00-{trace}-00f067aa0ba902b7-01");
    let headers = OwnedHeaders::new().insert(Header { key: "traceparent", value: Some(&traceparent) });
    let event = task_completed(1, &customer).to_string();
    let producer: FutureProducer = kafka.config().create().unwrap();
    let record = FutureRecord::<str, str>::to("oa.events").payload(&event).headers(headers);
    producer.send(record, Duration::ZERO).await.unwrap();
    consume_until(&service, &kafka, "it is applied", async || service.inbound_count("applied") == 1).await;
    assert_eq!(service.trail("resourceType=followUp").await[0]["traceId"], trace);
}

async fn consume_until(service: &Service, kafka: &MockKafka, what: &str, holds: impl AsyncFnMut() -> bool) {
    let (inbound, broker) = (service.inbound(), kafka.broker());
    tokio::select! {
        Down(reason) = inbound.consume(&*broker) => panic!("{what}: {reason}"),
        () = within(60, what, holds) => {}
    }
}

/// An event that cannot be applied, of about this size.
fn poison(number: usize, size: usize) -> Vec<u8> {
    let value = "13812345678 ".repeat(size / 12);
    json!({ "eventId": format!("p{number}"), "eventType": "erp.contract.signed", "timestamp": "2026-01-01T00:00:00Z",
        "data": value })
    .to_string()
    .into_bytes()
}

#[tokio::test]
async fn poison_becomes_dead_letters_once_and_holds_up_no_good_event() {
    let (log, _guard) = Log::of_this_thread("trace", LogFormat::Json);
    let service = Service::start().await;
    let kafka = MockKafka::new();
    let customer = service.customer().await;
    let mut bad: Vec<Vec<u8>> = [90_000, 200_000, 999_000].iter().map(|size| poison(*size, *size)).collect();
    bad.extend([Vec::new(), vec![0xff; 100_000], vec![b'['; 100_000], b"\"13812345678\"".to_vec()]);
    for number in 0..150 {
        if let Some(bad) = bad.get(number / 10).filter(|_| number % 10 == 0) {
            kafka.send("oa.events", bad).await;
        }
        kafka.send("oa.events", task_completed(number, &customer).to_string().as_bytes()).await;
    }
    log.clear();
    consume_until(&service, &kafka, "all are settled", async || {
        service.inbound_count("applied") == 150 && service.inbound_count("dead") == bad.len()
    })
    .await;
    assert_eq!(service.read("/follow-ups?pageSize=1").await["total"], 150);
    let dead = kafka.messages(DEAD_LETTERS, bad.len()).await;
    let mut bodies: Vec<Vec<u8>> = dead.iter().map(|letter| letter.payload().unwrap_or_default().to_vec()).collect();
    bodies.sort();
    bad.sort();
    assert!(bodies == bad, "other dead letters than poison");
    for letter in &dead {
        let reason = header(letter, REASON);
        assert!(!reason.is_empty() && reason.len() <= 500 && !reason.contains("1381"), "{reason}");
        assert_eq!(header(letter, ORIGIN), "oa.events");
    }
    assert!(!log.untimed().contains("1381"), "{}", log.text());
    // Nothing comes again.
    kafka.send("oa.events", task_completed(150, &customer).to_string().as_bytes()).await;
    consume_until(&service, &kafka, "one more", async || service.inbound_count("applied") == 151).await;
    assert_eq!((service.inbound_count("dead"), service.inbound_count("duplicate")), (bad.len(), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_kafka_refuses_is_skipped_and_counted() {
    let service = Service::start().await;
    let kafka = MockKafka::new();
    let customer = service.customer().await;
    kafka.send("erp.events", &poison(0, 1_000)).await;
    kafka.send("oa.events", task_completed(0, &customer).to_string().as_bytes()).await;
    let too_large = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    kafka.mock.request_errors(RDKafkaApiKey::Produce, &[too_large, too_large]);
    consume_until(&service, &kafka, "all are settled", async || {
        service.inbound_count("applied") == 1 && service.inbound_count("rejected") == 1
    })
    .await;
    kafka.send("oa.events", task_completed(1, &customer).to_string().as_bytes()).await;
    consume_until(&service, &kafka, "one more", async || service.inbound_count("applied") == 2).await;
    assert_eq!((service.inbound_count("rejected"), service.inbound_count("dead")), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_events_wait_also_through_a_restart_and_hold_up_no_others() {
    let service = Service::start().await;
    let kafka = MockKafka::new();
    let (customer, other) = (service.customer().await, service.customer().await);
    for number in 0..100 {
        kafka.send("oa.events", task_completed(number, UNKNOWN_ID).to_string().as_bytes()).await;
    }
    kafka.send("oa.events", task_completed(1000, &other).to_string().as_bytes()).await;
    let mut patient = service.inbound();
    patient.retry_policy.retries = 1_000;
    let broker = kafka.broker();
    tokio::select! {
        Down(reason) = patient.consume(&*broker) => panic!("{reason}"),
        () = within(60, "the good one", async || service.inbound_count("applied") == 1) => {}
    }
    let arrives = format!(
        "UPDATE customers SET customer_id = {} WHERE customer_id = {}",
        uuid_literal(UNKNOWN_ID),
        uuid_literal(&customer)
    );
    service.database.connect().await.execute_unprepared(&arrives).await.unwrap();
    tokio::select! {
        Down(reason) = patient.consume(&*broker) => panic!("{reason}"),
        () = within(60, "all", async || service.read("/follow-ups?pageSize=1").await["total"] == 101) => {}
    }
    assert_eq!(service.inbound_count("dead"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_customer_never_comes_is_dead_in_the_end() {
    let service = Service::start().await;
    let kafka = MockKafka::new();
    kafka.send("oa.events", task_completed(0, UNKNOWN_ID).to_string().as_bytes()).await;
    consume_until(&service, &kafka, "it is dead", async || service.inbound_count("dead") == 1).await;
    assert_eq!(service.inbound_count("retried"), 5);
    let dead = kafka.messages(DEAD_LETTERS, 1).await;
    assert_eq!(header(&dead[0], REASON), "customerId: must be the id of an existing resource");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_are_away_are_told_when_inbound_starts() {
    let service = Service::start().await;
    let broker = Kafka::new("127.0.0.1:1".to_owned());
    let Down(reason) = service.inbound().consume(&broker).await;
    assert!(reason.starts_with("cannot reach Kafka: "), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_are_missing_or_closed_are_told_and_cost_no_event() {
    for topic in [DEAD_LETTERS, "oa.events"] {
        for error in [
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        ] {
            let service = Service::start().await;
            let kafka = MockKafka::without(topic);
            kafka.mock.topic_error(topic, error).unwrap();
            let Down(reason) = tokio::time::timeout(AMPLE, service.inbound().consume(&*kafka.broker())).await.unwrap();
            assert!(reason.starts_with(&format!("cannot use the topic {topic}: ")), "{reason}");
            assert!(service.app.metrics().text().contains("crm_inbound_connected 0\n"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_topic_that_goes_away_costs_no_dead_letter() {
    for error in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
    ] {
        let service = Service::start().await;
        let kafka = MockKafka::new();
        kafka.send("erp.events", &poison(0, 1_000)).await;
        kafka.mock.request_errors(RDKafkaApiKey::Produce, &[error; 2]);
        let (inbound, broker) = (service.inbound(), kafka.broker());
        let settled = || service.inbound_count("dead") + service.inbound_count("rejected") > 0;
        for _ in 0..5 {
            tokio::select! {
                Down(_) = inbound.consume(&*broker) => {}
                () = within(60, "it is settled", async || settled()) => break,
            }
        }
        assert_eq!((service.inbound_count("dead"), service.inbound_count("rejected")), (1, 0));
        assert_eq!(kafka.messages(DEAD_LETTERS, 1).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_without_partitions_does_not_count_as_connected() {
    let kafka = MockKafka::new();
    let (many, last) = (Service::start().await, Service::start().await);
    let connected = |service: &Service| service.app.metrics().text().contains("crm_inbound_connected 1\n");
    // A partition of each topic for each of three.
    let (inbound, broker) = (many.inbound(), kafka.broker());
    let three = async {
        let all = tokio::join!(inbound.consume(&*broker), inbound.consume(&*broker), inbound.consume(&*broker));
        panic!("{all:?}")
    };
    let spare = last.inbound();
    tokio::select! {
        () = three => {}
        () = async {
            within(60, "the three have theirs", async || connected(&many)).await;
            tokio::select! {
                Down(reason) = spare.consume(&*broker) => panic!("{reason}"),
                () = async {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    assert!(!connected(&last));
                } => {}
            }
        } => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_events_count_with_their_keys_and_headers() {
    let service = Service::start().await;
    let kafka = MockKafka::new();
    let producer: FutureProducer = kafka.config().set("message.max.bytes", "10000000").create().unwrap();
    // 19 MB of them in their headers.
    let large = "x".repeat(950_000);
    // No partition may hold more than 5 MB here.
    for number in 0..20_i32 {
        let signed = json!({ "eventId": format!("s{number}"), "eventType": "erp.contract.signed",
            "timestamp": "2026-01-31T09:30:00Z", "data": { "tenantId": "default", "customerId": UNKNOWN_ID } });
        let (topic, event) = match number % 2 {
            0 => ("oa.events", task_completed(number.unsigned_abs() as usize, UNKNOWN_ID)),
            _ => ("erp.events", signed),
        };
        let (event, headers) =
            (event.to_string(), OwnedHeaders::new().insert(Header { key: "large", value: Some(&large) }));
        let record = FutureRecord::<str, str>::to(topic).payload(&event).headers(headers).partition(number / 2 % 3);
        producer.send(record, Duration::ZERO).await.unwrap();
    }
    let mut patient = service.inbound();
    (patient.retry_policy.retries, patient.retry_policy.pause) = (1_000, Duration::from_secs(600));
    let broker = kafka.broker();
    tokio::select! {
        Down(reason) = patient.consume(&*broker) => panic!("{reason}"),
        () = within(60, "all are settled", async || {
            service.inbound_count("retried") + service.inbound_count("dead") == 20
        }) => {}
    }
    assert_eq!(service.inbound_count("retried"), 17);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listing_dead_letters_ends_while_more_are_written() {
    let kafka = MockKafka::new();
    let producer: FutureProducer = kafka.config().create().unwrap();
    // A partition keeps 5 MB: so many that the oldest are gone before they are read, and fewer come than there were.
    let event = poison(0, 500_000);
    let write = async || {
        let record = FutureRecord::<[u8], [u8]>::to(DEAD_LETTERS).payload(&event).partition(0);
        producer.send(record, Duration::ZERO).await.unwrap();
    };
    for _ in 0..10 {
        write().await;
    }
    let writing = async {
        for _ in 0..usize::MAX {
            write().await;
        }
    };
    let broker = kafka.broker();
    let listing = async {
        for _ in 0..5 {
            let mut count = 0;
            let mut choose = |_: &DeadLetter| {
                count += 1;
                true
            };
            let listed = broker.dead_letters(DeadLetterAction::List, u64::MAX, &mut choose);
            let total = tokio::time::timeout(AMPLE, listed).await.expect("it does not come to an end").unwrap();
            assert!(count <= total, "{count} of {total}");
        }
    };
    tokio::select! {
        () = writing => {}
        () = listing => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_and_retried_by_command_and_never_dropped() {
    let service = Service::start().await;
    let kafka = MockKafka::new();
    let url = format!("kafka://{}", kafka.addresses);
    let directory = tempfile::tempdir().unwrap();
    let variables =
        [("CRM_EVENTS_URL", url.as_str()), ("CRM_DATA_DIR", directory.path().to_str().unwrap()), ("CRM_LOG", "error")];
    let run = async |arguments: &[&str]| {
        let arguments: Vec<String> =
            ["inbound", "dead"].iter().chain(arguments).map(|word| (*word).to_owned()).collect();
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let command = move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            run_crm(&arguments, &variables.each_ref().map(|(name, value)| (name.as_str(), value.as_str())))
        };
        tokio::task::spawn_blocking(command).await.unwrap()
    };
    let none = run(&["list"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), "0 dead letters in crm.inbound.dlq\n"), "{}", none.stderr);
    for number in 0..3 {
        kafka.send("oa.events", task_completed(number, UNKNOWN_ID).to_string().as_bytes()).await;
    }
    kafka.send("erp.events", &poison(0, 1_000)).await;
    consume_until(&service, &kafka, "all are dead", async || service.inbound_count("dead") == 4).await;
    let list = run(&["list"]).await;
    assert!(list.stdout.starts_with("4 dead letters in crm.inbound.dlq\n"), "{list:?}");
    assert!(list.stdout.contains("e1 oa.task.completed of oa, "), "{list:?}");
    assert!(
        list.stdout.contains("since 2026-01-31T09:30:00.125Z: customerId: must be the id of an existing"),
        "{list:?}"
    );
    assert!(list.stdout.contains("p0 erp.contract.signed of erp, ") && !list.stdout.contains("1381"), "{list:?}");

    assert_eq!(run(&["retry"]).await.code, Some(2));
    let unknown = run(&["retry", "e9"]).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("no dead letter has the event id e9"), "{unknown:?}");
    let retried = run(&["retry", "e1"]).await;
    assert_eq!((retried.code, retried.stdout.starts_with("1 events are put back")), (Some(0), true), "{retried:?}");
    consume_until(&service, &kafka, "it is dead again", async || service.inbound_count("dead") == 5).await;
    assert_eq!(run(&["retry", "--all"]).await.code, Some(0));
    consume_until(&service, &kafka, "all are dead again", async || service.inbound_count("dead") == 10).await;
    let dropped = run(&["drop", "--all"]).await;
    assert!(dropped.code == Some(1) && dropped.stderr.contains("kafka-delete-records"), "{dropped:?}");
}
