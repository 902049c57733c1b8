//! When two events are the same: by sender, tenant, id and what they say; also beside the release before this one.

use crm::inbound::ApplyOutcome;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

use crate::harness::{
    Service, id, on_postgres,
    sql::{column, scalar},
};

const AT: &str = "2026-01-31T09:30:00Z";

fn event(event: &str, event_type: &str, data: &Value) -> Value {
    json!({ "eventId": event, "eventType": event_type, "timestamp": AT, "data": data })
}

/// A customer of this tenant.
async fn customer_of(service: &Service, tenant: &str) -> String {
    let created = service.post("/customers", json!({ "name": "Acme" })).tenant(tenant).send().await.expect(201);
    id(&created.body, "customerId")
}

async fn apply(service: &Service, event: &Value) -> Result<ApplyOutcome, String> {
    let outcome = service.inbound().apply(event.to_string().as_bytes()).await;
    outcome.map_err(|error| error.details().unwrap_or_default().to_owned())
}

/// What the release before this one does first with an event: whether it would go on to apply it.
async fn claimed_by_previous_release(service: &Service, event: &Value) -> bool {
    let connection = service.database.connect().await;
    let at = if on_postgres() { "now()" } else { "'2026-01-31T09:30:00+00:00'" };
    let sql = format!(
        "INSERT INTO inbox (consumer, event_id, tenant_id, event_type, created_at) \
         VALUES ('crm.inbound', '{}', '{}', '{}', {at}) ON CONFLICT (consumer, event_id) DO NOTHING",
        id(event, "eventId"),
        id(&event["data"], "tenantId"),
        id(event, "eventType"),
    );
    let inserted = connection.execute_raw(Statement::from_string(connection.get_database_backend(), sql)).await;
    inserted.unwrap().rows_affected() == 1
}

#[tokio::test]
async fn one_id_of_two_tenants_or_senders_is_two_events() {
    let service = Service::start().await;
    for tenant in ["default", "other"] {
        let customer = customer_of(&service, tenant).await;
        let data = json!({ "tenantId": tenant, "customerId": customer, "title": "Called" });
        for event_type in ["erp.contract.signed", "oa.task.completed"] {
            assert_eq!(apply(&service, &event("x", event_type, &data)).await, Ok(ApplyOutcome::Applied), "{tenant}");
            assert_eq!(apply(&service, &event("x", event_type, &data)).await, Ok(ApplyOutcome::Duplicate));
        }
        let read = service.get(&format!("/customers/{customer}")).tenant(tenant).send().await.expect(200).body;
        assert_eq!(read["status"], 1);
        let list = service.get("/follow-ups").tenant(tenant).send().await.expect(200).body;
        assert_eq!(list["total"], 1);
    }
}

#[tokio::test]
async fn one_id_of_two_parts_of_a_sender_is_two_events() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let from = |source: Value, title: &str| {
        let data = json!({ "tenantId": "default", "customerId": customer, "title": title });
        let mut event = event("x", "oa.task.completed", &data);
        event["source"] = source;
        event
    };
    // A source that says nothing more than the type, or nothing at all, is none.
    let sources = [json!("oa"), json!("oa-north"), json!("x".repeat(100_000))];
    for (number, source) in sources.into_iter().enumerate() {
        let title = format!("Task {number}");
        assert_eq!(apply(&service, &from(source.clone(), &title)).await, Ok(ApplyOutcome::Applied));
        assert_eq!(apply(&service, &from(source.clone(), &title)).await, Ok(ApplyOutcome::Duplicate));
        apply(&service, &from(source, "another")).await.unwrap_err();
    }
    for source in [Value::Null, json!(7)] {
        assert_eq!(apply(&service, &from(source, "Task 0")).await, Ok(ApplyOutcome::Duplicate));
    }
    assert_eq!(service.read("/follow-ups").await["total"], 3);
    // What the release before this one applied has no part.
    let mut before = from(json!("oa-south"), "before");
    before["eventId"] = json!("y");
    assert!(claimed_by_previous_release(&service, &before).await);
    assert_eq!(apply(&service, &before).await, Ok(ApplyOutcome::Duplicate));
}

#[tokio::test]
async fn an_id_that_comes_again_must_say_the_same_again() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let first =
        json!({ "tenantId": "default", "customerId": customer, "title": "Called", "more": { "a": 1, "b": [2] } });
    assert_eq!(apply(&service, &event("x", "oa.task.completed", &first)).await, Ok(ApplyOutcome::Applied));
    // In another order, with other white space, and told at another time, it is the same.
    let again = format!(
        r#"{{"timestamp":"2027-01-01T00:00:00Z","data": {{"more":{{"b":[ 2 ],"a":1}}, "title":"Called",
           "customerId":"{customer}","tenantId":"default"}},"eventType":"oa.task.completed","eventId":"x"}}"#
    );
    assert_eq!(service.inbound().apply(again.as_bytes()).await.unwrap(), ApplyOutcome::Duplicate);
    for (field, value) in [("title", json!("Wrote")), ("more", json!({ "a": 1, "b": [3] })), ("else", json!(1))] {
        let mut other = first.clone();
        other[field] = value;
        let refused = apply(&service, &event("x", "oa.task.completed", &other)).await;
        assert_eq!(refused, Err("eventId: is that of another event, which was applied before".to_owned()), "{field}");
    }
    let list = service.read("/follow-ups").await;
    assert_eq!((&list["total"], &list["data"][0]["content"]), (&json!(1), &json!("Called")));
}

#[tokio::test]
async fn data_nested_too_deeply_to_be_ordered_still_counts_once() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let deep = |end: &str| {
        let (open, close) = ("[".repeat(5_000), "]".repeat(5_000));
        format!(
            r#"{{"eventId":"x","eventType":"erp.contract.signed","timestamp":"{AT}",
               "data":{{"tenantId":"default","customerId":"{customer}","more":{open}{end}{close}}}}}"#
        )
    };
    let inbound = service.inbound();
    assert_eq!(inbound.apply(deep("1").as_bytes()).await.unwrap(), ApplyOutcome::Applied);
    assert_eq!(inbound.apply(deep("1").as_bytes()).await.unwrap(), ApplyOutcome::Duplicate);
    assert!(inbound.apply(deep("2").as_bytes()).await.unwrap_err().details().unwrap().starts_with("eventId: "));
}

#[tokio::test]
async fn what_the_previous_release_applied_is_a_duplicate_of_its_sender() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let data = json!({ "tenantId": "default", "customerId": customer, "title": "Called" });
    let signed = event("x", "erp.contract.signed", &data);
    assert!(claimed_by_previous_release(&service, &signed).await);
    assert_eq!(apply(&service, &signed).await, Ok(ApplyOutcome::Duplicate));
    assert_eq!(service.read(&format!("/customers/{customer}")).await["status"], 0);
    // It knew one event per id; those of other senders and tenants are others.
    assert_eq!(apply(&service, &event("x", "oa.task.completed", &data)).await, Ok(ApplyOutcome::Applied));
    let theirs = json!({ "tenantId": "other", "customerId": customer_of(&service, "other").await });
    assert_eq!(apply(&service, &event("x", "erp.contract.signed", &theirs)).await, Ok(ApplyOutcome::Applied));
    assert_eq!(apply(&service, &signed).await, Ok(ApplyOutcome::Duplicate));
}

#[tokio::test]
async fn the_previous_release_applies_nothing_that_this_one_did() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let data = json!({ "tenantId": "default", "customerId": customer });
    let signed = event("x", "erp.contract.signed", &data);
    assert_eq!(apply(&service, &signed).await, Ok(ApplyOutcome::Applied));
    assert!(!claimed_by_previous_release(&service, &signed).await);
    let theirs = event("x", "erp.contract.signed", &json!({ "tenantId": "other", "customerId": customer }));
    assert!(!claimed_by_previous_release(&service, &theirs).await);
    let connection = service.database.connect().await;
    let types: Vec<String> = column(&connection, "SELECT event_type FROM inbox").await;
    assert_eq!(types, ["erp.contract.signed"]);
    // A refused one is claimed nowhere.
    let unknown = event("y", "erp.contract.signed", &theirs["data"]);
    assert!(apply(&service, &unknown).await.is_err());
    for table in ["inbox", "inbox_events"] {
        assert_eq!(scalar::<i64>(&connection, &format!("SELECT COUNT(*) FROM {table}")).await, 1, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_beside_the_previous_release_one_takes_effect() {
    let service = Service::start().await;
    let customer = service.customer().await;
    for number in 0..20 {
        let data = json!({ "tenantId": "default", "customerId": customer, "title": format!("Task {number}") });
        let event = event(&format!("e{number}"), "oa.task.completed", &data);
        let ours = async {
            let all = futures_util::future::join_all((0..8).map(|_| apply(&service, &event))).await;
            all.into_iter().filter(|outcome| *outcome == Ok(ApplyOutcome::Applied)).count()
        };
        let (ours, theirs) = tokio::join!(ours, claimed_by_previous_release(&service, &event));
        assert_eq!(ours + usize::from(theirs), 1, "event {number}");
    }
}
