//! How each event is settled, and that none waits for another.

use std::{sync::Arc, time::Duration};

use crm::{
    background::Background,
    broker::{Broker, DeadLetter, Down, Settlement},
    inbound::DeadLetterSummary,
    telemetry::LogFormat,
};
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::json;

use crate::harness::{
    Log, Service, UNKNOWN_ID, broker::MemoryBroker, events::task_completed, on_postgres, sql::uuid_literal, within,
};

/// In every value of every event.
const CANARY: &str = "13812345678, expected goldcrest";

fn reason(settlement: &Settlement) -> Option<&str> {
    match settlement {
        Settlement::Ack => None,
        Settlement::Retry(refusal) | Settlement::Reject(refusal) => Some(&refusal.reason),
    }
}

#[tokio::test]
async fn no_reason_and_no_line_of_the_log_quotes_an_event() {
    let (log, _guard) = Log::of_this_thread("trace", LogFormat::Json);
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    let values = [
        json!(CANARY),
        json!([CANARY]),
        json!({ CANARY: CANARY }),
        json!(13_812_345_678_i64),
        json!(138_123.456_78),
        json!(true),
        json!(null),
        json!("1381".repeat(40_000)),
    ];
    for event_type in ["erp.contract.signed", "oa.task.completed"] {
        let whole = json!({ "eventId": "x", "eventType": event_type, "timestamp": "2026-01-31T09:30:00Z", "traceId": "x",
            "data": { "tenantId": "default", "customerId": UNKNOWN_ID, "opportunityId": null, "contactId": null,
                "followUpId": null, "title": "x" } });
        for value in &values {
            broker.state().inbound.push_back(value.to_string().into_bytes());
            for field in whole.as_object().unwrap().keys() {
                let mut event = whole.clone();
                event[field] = value.clone();
                broker.state().inbound.push_back(event.to_string().into_bytes());
            }
            for field in whole["data"].as_object().unwrap().keys() {
                let mut event = whole.clone();
                event["data"][field] = value.clone();
                broker.state().inbound.push_back(event.to_string().into_bytes());
            }
            let again = format!(r#"{{"data":{value},"data":{value}}}"#);
            broker.state().inbound.push_back(again.into_bytes());
        }
    }
    log.clear();
    let mut inbound = service.inbound();
    inbound.retry_policy.retries = 0;
    inbound.consume(&broker).await;
    let settled = std::mem::take(&mut broker.state().settled);
    assert!(settled.len() > 200);
    let mut reasons = std::collections::HashSet::new();
    for (event, settlement) in &settled {
        let event = String::from_utf8_lossy(event);
        let reason = reason(settlement).unwrap_or_else(|| panic!("applied: {event:.500}"));
        assert!(!reason.is_empty() && reason.len() <= 500, "{reason:?} of {event:.500}");
        assert!(!reason.contains("1381") && !reason.contains("goldcrest"), "{reason:?} of {event:.500}");
        reasons.insert(reason);
    }
    assert!(
        reasons.contains("traceId: must be a string") || reasons.contains("traceId: must be option"),
        "{reasons:?}"
    );
    assert!(reasons.contains("data: must be a JSON object"), "{reasons:?}");
    let log = log.untimed();
    assert!(!log.contains("1381") && !log.contains("goldcrest"), "{log}");
}

#[tokio::test]
async fn a_dead_letter_of_the_previous_release_is_shown_without_its_values() {
    let summary = |payload: &str, reason: &str| {
        let letter =
            DeadLetter { payload: payload.into(), reason: Some(reason.to_owned()), since: Some(CANARY.to_owned()) };
        DeadLetterSummary::of(&letter)
    };
    let quoting = format!("data: invalid type: string \"{CANARY}\", expected struct ContractSigned");
    let shown = summary(r#"{"eventId":"e1","eventType":"erp.contract.signed","data":"x"}"#, &quoting);
    assert_eq!(shown.reason, "data: must be struct ContractSigned");
    assert_eq!((shown.event_id.as_deref(), shown.sender.as_deref(), shown.since), (Some("e1"), Some("erp"), None));
    let shown = summary(&format!(r#"{{"eventId":"{CANARY}","eventType":"{CANARY}"}}"#), &"x".repeat(9_000));
    assert_eq!((shown.event_id, shown.event_type, shown.sender, shown.reason.len()), (None, None, None, 500));
    assert_eq!(summary("?", "").size, 1);
    let shown = summary(r#" ["13812345678","erp.contract.signed"]"#, "");
    assert_eq!((shown.event_id, shown.event_type), (None, None));
}

#[tokio::test]
async fn an_event_is_retried_as_often_as_the_policy_says_then_dead() {
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    let early = task_completed(0, UNKNOWN_ID).to_string().into_bytes();
    let malformed = task_completed(1, "not-an-id").to_string().into_bytes();
    broker.state().inbound.extend([early.clone(), malformed.clone()]);
    service.inbound().consume(&broker).await;
    let settled = std::mem::take(&mut broker.state().settled);
    let of =
        |event: &[u8]| settled.iter().filter(move |(other, _)| other == event).map(|(_, how)| how).collect::<Vec<_>>();
    let (early, malformed) = (of(&early), of(&malformed));
    assert_eq!(early.len(), 6);
    assert!(
        early[..5].iter().all(|how| matches!(how, Settlement::Retry(_))) && matches!(early[5], Settlement::Reject(_))
    );
    assert_eq!(reason(early[5]), Some("customerId: must be the id of an existing resource"));
    assert!(matches!(malformed[..], [Settlement::Reject(_)]), "{malformed:?}");
    assert_eq!((service.inbound_count("retried"), service.inbound_count("dead")), (5, 2));
}

#[tokio::test]
async fn a_dead_letter_that_is_not_taken_is_an_error_and_counted() {
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    broker.state().refuses_dead_letters = true;
    broker.state().inbound.push_back(b"{}".to_vec());
    service.inbound().consume(&broker).await;
    assert_eq!((service.inbound_count("rejected"), service.inbound_count("dead")), (1, 0));
    let told = log.saying("an event of the platform is rejected: the broker does not take it as a dead letter");
    assert_eq!((&told[0]["level"], &told[0]["refused"]), (&json!("ERROR"), &json!("too large")));
}

#[tokio::test]
async fn an_event_of_another_sender_than_is_vouched_for_is_dead() {
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    let customer = service.customer().await;
    let event = task_completed(0, &customer).to_string().into_bytes();
    for (sender, dead) in [("erp", 1), ("oa", 0)] {
        broker.state().sender = Some(sender);
        broker.state().inbound.push_back(event.clone());
        service.inbound().consume(&broker).await;
        let settled = std::mem::take(&mut broker.state().settled);
        assert_eq!(settled.iter().filter(|(_, how)| matches!(how, Settlement::Reject(_))).count(), dead, "{sender}");
    }
    assert_eq!(service.read("/follow-ups").await["total"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_hangs_holds_up_no_other() {
    if !on_postgres() {
        return;
    }
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    let (locked, free) = (service.customer().await, service.customer().await);
    let lock = service.database.connect().await.begin().await.unwrap();
    let sql = format!("SELECT 1 FROM customers WHERE customer_id = {} FOR UPDATE", uuid_literal(&locked));
    lock.execute_unprepared(&sql).await.unwrap();
    broker.state().inbound.push_back(task_completed(0, &locked).to_string().into_bytes());
    broker.state().inbound.extend((1..100).map(|number| task_completed(number, &free).to_string().into_bytes()));
    let inbound = service.inbound();
    let (Down(end), ()) = tokio::join!(inbound.consume(&broker), async {
        within(8, "the others are settled", async || broker.state().settled.len() == 99).await;
        lock.rollback().await.unwrap();
    });
    assert_eq!((end.as_str(), broker.state().settled.len()), ("the end", 100));
}

#[tokio::test]
async fn inbound_that_cannot_start_is_an_error_with_its_reason_and_a_metric() {
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    let service = Service::with(&[("CRM_EVENTS_URL", "amqp://127.0.0.1:1")]).await;
    let background = Background::relay(&service.app);
    let metric = |line: &str| service.app.metrics().text().lines().any(|each| each == line);
    within(30, "two failures", async || metric("crm_inbound_failures_total 2")).await;
    assert!(metric("crm_inbound_connected 0"));
    let told = log.saying("the platform's events cannot be taken: they wait");
    assert_eq!((told.len(), &told[0]["level"]), (1, &json!("ERROR")), "{told:?}");
    assert!(told[0]["reason"].as_str().unwrap().contains("refused"), "{told:?}");
    service.get("/health").send().await.expect(200);
    background.finish().await.unwrap();
}

#[tokio::test]
async fn the_metric_says_connected_for_as_long_as_events_are_taken() {
    let service = Service::start().await;
    let broker: Arc<MemoryBroker> = Arc::default();
    let customer = service.customer().await;
    broker.state().inbound.push_back(task_completed(0, &customer).to_string().into_bytes());
    let metric = |value: u8| service.app.metrics().text().contains(&format!("crm_inbound_connected {value}\n"));
    assert!(metric(0));
    let inbound = service.inbound();
    // Until then the event cannot be applied.
    let lock = service.database.connect().await.begin().await.unwrap();
    let sql = format!("UPDATE customers SET version = version WHERE customer_id = {}", uuid_literal(&customer));
    lock.execute_unprepared(&sql).await.unwrap();
    {
        let mut consuming = Box::pin(inbound.consume(&*broker as &dyn Broker));
        let first = tokio::time::timeout(Duration::ZERO, &mut consuming).await;
        assert!(first.is_err() && metric(1));
        lock.rollback().await.unwrap();
        consuming.await;
    }
    assert!(metric(0));
}
