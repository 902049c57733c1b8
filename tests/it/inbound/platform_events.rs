//! Events of the platform: applied once, or rejected with the reason.

use crm::{background, broker::Settlement, events::outbox, inbound::ApplyOutcome, service::asyncapi};
use serde_json::{Value, json};

use crate::harness::{
    DAY, Service, UNKNOWN_ID, broker::MemoryBroker, events::assert_event_schema, fields, sql::scalar,
};

const AT: &str = "2026-01-31T09:30:00Z";

fn signed(event: &str, data: Value) -> Value {
    json!({ "eventId": event, "eventType": "erp.contract.signed", "timestamp": AT, "source": "erp",
        "traceId": "0af7651916cd43dd8448eb211c80319c", "data": data })
}

fn completed(event: &str, data: Value) -> Value {
    json!({ "eventId": event, "eventType": "oa.task.completed", "timestamp": AT, "source": "oa", "traceId": "?",
        "data": data })
}

/// Consumes an event that conforms to its schema.
async fn consume(service: &Service, event: &Value) -> ApplyOutcome {
    assert_event_schema(&asyncapi::document(), event);
    service.inbound().apply(event.to_string().as_bytes()).await.unwrap()
}

/// The events that became dead letters, with the reasons.
fn rejected(settled: &[(Vec<u8>, Settlement)]) -> Vec<(String, String)> {
    let dead = settled.iter().filter_map(|(event, settlement)| match settlement {
        Settlement::Reject(refusal) => Some((String::from_utf8_lossy(event).into_owned(), refusal.reason.clone())),
        Settlement::Ack | Settlement::Retry(_) => None,
    });
    dead.collect()
}

async fn refusal(service: &Service, event: &str) -> String {
    service.inbound().apply(event.as_bytes()).await.unwrap_err().details().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_signed_contract_updates_customer_and_opportunity_once() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let opportunity = service.opportunity(&customer).await;
    let data = json!({ "tenantId": "default", "customerId": customer, "opportunityId": opportunity, "amount": 1 });
    assert_eq!(consume(&service, &signed("e1", data.clone())).await, ApplyOutcome::Applied);
    assert_eq!(service.read(&format!("/customers/{customer}")).await["status"], 1);
    let won = service.read(&format!("/opportunities/{opportunity}")).await;
    assert_eq!((&won["stage"], &won["status"]), (&json!(5), &json!(1)));

    let body = json!({ "status": 0 });
    service.patch(&format!("/opportunities/{opportunity}"), body).send().await.expect(200);
    for _ in 0..4 {
        assert_eq!(consume(&service, &signed("e1", data.clone())).await, ApplyOutcome::Duplicate);
    }
    assert_eq!(service.read(&format!("/opportunities/{opportunity}")).await["status"], 0);
    // Another event that changes nothing publishes nothing.
    consume(&service, &signed("e2", data.clone())).await;
    let won = service.read(&format!("/opportunities/{opportunity}")).await;
    assert_eq!(consume(&service, &signed("e3", data)).await, ApplyOutcome::Applied);
    assert_eq!(service.read(&format!("/opportunities/{opportunity}")).await, won);
    outbox::assign_positions(service.app.database()).await.unwrap();
    let events = service.read("/events").await;
    let types: Vec<&str> = fields(&events, "eventType");
    assert_eq!(
        types[2..],
        ["crm.customer.updated", "crm.opportunity.closed", "crm.opportunity.reopened", "crm.opportunity.closed"]
    );
    assert_eq!(events["data"][2]["traceId"], "0af7651916cd43dd8448eb211c80319c");
    let trail = service.trail(&format!("resourceId={customer}&action=update")).await;
    assert_eq!((&trail[0]["actor"], &trail[0]["requestId"]), (&json!("erp"), &json!("e1")));
}

#[tokio::test]
async fn a_completed_task_extends_or_creates_a_follow_up_once() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let follow_up = service.follow_up(json!({ "content": "Call", "customerId": customer })).await;
    let event = completed("e1", json!({ "tenantId": "default", "title": "Called", "followUpId": follow_up }));
    assert_eq!(consume(&service, &event).await, ApplyOutcome::Applied);
    assert_eq!(consume(&service, &event).await, ApplyOutcome::Duplicate);
    let path = format!("/follow-ups/{follow_up}");
    assert_eq!(service.read(&path).await["content"], format!("Call\n[completed {AT}] Called"));

    let contact = service.contact(&customer).await;
    let event = completed("e2", json!({ "tenantId": "default", "title": "Wrote", "contactId": contact }));
    assert_eq!(consume(&service, &event).await, ApplyOutcome::Applied);
    assert_eq!(consume(&service, &event).await, ApplyOutcome::Duplicate);
    let list = service.read(&format!("/follow-ups?customerId={customer}")).await;
    assert_eq!(list["total"], 2);
    let recorded = &list["data"][0];
    assert_eq!((&recorded["content"], &recorded["followUpType"]), (&json!("Wrote"), &json!("oa.task")));
    assert_eq!((&recorded["contactId"], &recorded["customerId"]), (&json!(contact), &json!(customer)));
}

#[tokio::test]
async fn an_inapplicable_event_is_refused_by_name_and_changes_nothing() {
    let service = Service::start().await;
    let (customer, other) = (service.customer().await, service.customer().await);
    let of_other = service.opportunity(&other).await;
    let long = service.follow_up(json!({ "content": "x".repeat(9_990), "customerId": customer })).await;
    let data = |more: Value| {
        let mut data = json!({ "tenantId": "default", "customerId": customer, "title": "x" });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    let mut wrong_type = signed("e", data(json!({})));
    wrong_type["eventType"] = json!("erp.contract.cancelled");
    let mut no_id = signed("e", data(json!({})));
    no_id.as_object_mut().unwrap().remove("eventId");
    let mut no_time = signed("e", data(json!({})));
    no_time["timestamp"] = json!("yesterday");
    for (event, reason) in [
        ("?".to_owned(), "the event is not valid JSON"),
        ("[]".to_owned(), ""),
        (wrong_type.to_string(), "eventType: is not one"),
        (no_id.to_string(), "missing field `eventId`"),
        (no_time.to_string(), "timestamp: must be an RFC 3339 timestamp"),
        (signed("e", json!({ "customerId": customer })).to_string(), "missing field `tenantId`"),
        (signed("e", data(json!({ "tenantId": "a b" }))).to_string(), "data.tenantId: must be"),
        (signed("e", data(json!({ "tenantId": "unknown" }))).to_string(), "customerId: must be the id of an existing"),
        (
            signed("e", data(json!({ "customerId": UNKNOWN_ID }))).to_string(),
            "customerId: must be the id of an existing",
        ),
        (signed("e", data(json!({ "opportunityId": UNKNOWN_ID }))).to_string(), "opportunityId: must be the id"),
        (signed("e", data(json!({ "opportunityId": of_other }))).to_string(), "opportunityId: belongs to another"),
        (completed("e", json!({ "tenantId": "default", "title": "x" })).to_string(), "data: one of followUpId"),
        (
            format!("\u{feff}{}", completed("e", json!({ "tenantId": "default", "title": "x" }))),
            "data: one of followUpId",
        ),
        (completed("e", data(json!({ "title": "" }))).to_string(), "data.title: must be"),
        (completed("e", data(json!({ "title": "x\ny" }))).to_string(), "data.title: must be"),
        (completed("e", data(json!({ "followUpId": UNKNOWN_ID }))).to_string(), "followUpId: must be the id"),
        (completed("e", data(json!({ "followUpId": long }))).to_string(), "content: must be 1 to 10000"),
        (completed("e", data(json!({ "customerId": UNKNOWN_ID }))).to_string(), "customerId: must be the id"),
        (format!("{}{}", signed("e", data(json!({}))), " ".repeat(300_000)), "the event is larger than"),
    ] {
        let given = refusal(&service, &event).await;
        assert!(given.contains(reason), "{event:.200}: {given:?} is not {reason:?}");
    }
    assert_eq!(service.read(&format!("/customers/{customer}")).await["status"], 0);
    // None of them used up the event id.
    assert_eq!(consume(&service, &signed("e", data(json!({})))).await, ApplyOutcome::Applied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redelivered_events_apply_once_and_bad_ones_are_dead_lettered() {
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    let customer = service.customer().await;
    let follow_up = service.follow_up(json!({ "content": "Call", "customerId": customer })).await;
    let mut deliveries: Vec<Vec<u8>> = Vec::new();
    for number in 0..50 {
        let data = json!({ "tenantId": "default", "title": format!("Task {number}"), "followUpId": follow_up });
        let event = completed(&format!("e{number}"), data).to_string().into_bytes();
        for copy in 0..=number % 5 {
            deliveries.insert((number * 7 + copy * 13) % (deliveries.len() + 1), event.clone());
        }
    }
    deliveries.insert(3, b"{}".to_vec());
    broker.state().inbound.extend(deliveries.clone());
    service.inbound().consume(&broker).await;
    let content = service.read(&format!("/follow-ups/{follow_up}")).await["content"].as_str().unwrap().to_owned();
    assert_eq!(content.lines().count(), 51);
    let settled = std::mem::take(&mut broker.state().settled);
    assert_eq!(settled.len(), deliveries.len());
    assert_eq!(rejected(&settled), [("{}".to_owned(), "missing field `eventId`".to_owned())]);
    let metrics = service.app.metrics().text();
    assert!(metrics.contains(r#"crm_inbound_events_total{outcome="applied"} 50"#), "{metrics}");
    assert!(metrics.contains(r#"crm_inbound_events_total{outcome="dead"} 1"#), "{metrics}");
    // Event ids are kept as long as request ids.
    let connection = service.database.connect().await;
    for (days, left) in [(0, 50), (31, 0)] {
        service.advance(days * DAY);
        background::purge(&service.app).await.unwrap();
        for table in ["inbox_events", "inbox"] {
            assert_eq!(scalar::<i64>(&connection, &format!("SELECT COUNT(*) FROM {table}")).await, left, "{table}");
        }
    }
}
