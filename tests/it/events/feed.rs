//! Events: told with the change or not at all, in order, without personal data, and readable without gaps.

use std::{collections::HashMap, time::Duration};

use crm::{background::Background, events::document};
use serde_json::{Value, json};

use crate::harness::{Service, id};

const FROZEN: &str = include_str!("../../../openapi/events.yaml");

/// All events of the default tenant, with positions given to those that have none.
async fn events(service: &Service) -> Vec<Value> {
    service.app.order_events().await.unwrap();
    let page = service.read("/events?limit=1000").await;
    page["data"].as_array().unwrap().clone()
}

/// The last parts of the types, of one resource's events.
fn told<'e>(events: &'e [Value], kind: &str, id: &str) -> Vec<&'e str> {
    let of_it = |event: &&Value| event["data"]["resource"][format!("{kind}Id")] == id;
    let last = |event: &'e Value| event["eventType"].as_str().unwrap().rsplit('.').next().unwrap();
    events.iter().filter(of_it).filter(|event| is_about(event, kind)).map(last).collect()
}

fn is_about(event: &Value, kind: &str) -> bool {
    event["eventType"].as_str().unwrap().starts_with(&format!("crm.{}.", kind.to_lowercase()))
}

#[test]
fn the_emitted_document_is_the_frozen_one() {
    assert!(
        document::yaml() == FROZEN,
        "the events changed: read `git diff openapi` after `make contract`, and openapi/README.md on what may change"
    );
}

/// Fails unless the event keeps the schema of its type.
pub fn check_schema(document: &Value, event: &Value) {
    let event_type = event["eventType"].as_str().unwrap();
    let schema = json!({
        "$ref": format!("#/components/schemas/{event_type}"),
        "components": { "schemas": document["components"]["schemas"] },
    });
    let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft7).build(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(event).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{event} breaks the schema of {event_type}: {errors:?}");
}

#[tokio::test]
async fn every_type_of_event_happens_keeps_its_schema_and_counts_up() {
    let service = Service::start().await;
    let phone = "+86 138 1234 5678";
    let customer = service.create("/customers", json!({ "name": "Acme", "contactPhone": phone })).await;
    let customer = id(&customer, "customerId");
    let contact = service.contact(&customer).await;
    let opportunity = service.opportunity(&customer).await;
    let follow_up =
        service.follow_up(json!({ "content": "x", "contactId": contact, "opportunityId": opportunity })).await;
    for (path, body) in [
        (format!("/customers/{customer}"), json!({ "contactEmail": "alice@b.com" })),
        (format!("/contacts/{contact}"), json!({ "phone": phone, "email": "alice@b.com" })),
        (format!("/opportunities/{opportunity}"), json!({ "stage": 3 })),
        (format!("/opportunities/{opportunity}"), json!({ "status": 1 })),
        (format!("/opportunities/{opportunity}"), json!({ "status": 2 })),
        (format!("/opportunities/{opportunity}"), json!({ "status": 0 })),
        (format!("/follow-ups/{follow_up}"), json!({ "content": "y" })),
    ] {
        service.patch(&path, body).send().await.expect(200);
    }
    service.delete(&format!("/contacts/{contact}")).send().await.expect(204);
    service.delete(&format!("/customers/{customer}")).send().await.expect(204);
    let body = json!({ "customerId": service.customer().await, "title": "Licence", "stage": 5 });
    let won = id(&service.create("/opportunities", body).await, "opportunityId");

    let events = events(&service).await;
    assert_eq!(told(&events, "customer", &customer), ["created", "updated", "deleted"]);
    assert_eq!(told(&events, "contact", &contact), ["created", "updated", "deleted"]);
    let of_opportunity = ["created", "updated", "closed", "updated", "reopened", "deleted"];
    assert_eq!(told(&events, "opportunity", &opportunity), of_opportunity);
    // Its contact was deleted, so the reference was cleared.
    assert_eq!(told(&events, "followUp", &follow_up), ["created", "updated", "updated", "deleted"]);
    assert_eq!(told(&events, "opportunity", &won), ["created", "closed"]);

    let document = document::document();
    let mut types: Vec<&str> = events.iter().map(|event| event["eventType"].as_str().unwrap()).collect();
    types.sort_unstable();
    types.dedup();
    let mut described: Vec<&String> = document["channels"]["events"]["messages"].as_object().unwrap().keys().collect();
    described.sort_unstable();
    assert_eq!(types, described);

    let mut versions: HashMap<String, i64> = HashMap::new();
    for event in &events {
        check_schema(&document, event);
        assert_eq!((&event["source"], &event["data"]["tenantId"]), (&json!("crm"), &json!("default")));
        let text = event.to_string();
        assert!(!text.contains("12345678") && !text.contains("1234 5678") && !text.contains("alice@"), "{text}");
        let kind = event["eventType"].as_str().unwrap().split('.').nth(1).unwrap().to_owned();
        let own_id = event["data"]["resource"].as_object().unwrap().values().next().unwrap();
        let last = versions.entry(format!("{kind} {own_id}")).or_default();
        *last += 1;
        assert_eq!(event["data"]["version"], *last, "{event}");
    }
    let closed = events.iter().find(|event| event["eventType"] == "crm.opportunity.closed").unwrap();
    assert_eq!(closed["data"]["changedFields"], json!(["stage", "status"]));
    let updated = events.iter().find(|event| event["eventType"] == "crm.customer.updated").unwrap();
    assert_eq!(updated["data"]["resource"]["contactPhone"], "+86 138****5678");
    assert_eq!(updated["data"]["resource"]["contactEmail"], "a***@b.com");
}

#[tokio::test]
async fn what_is_refused_or_changes_nothing_has_no_event() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let path = format!("/customers/{customer}");
    service.patch(&path, json!({})).send().await.expect(200);
    service.patch(&path, json!({ "name": "Acme" })).send().await.expect(200);
    service.patch(&path, json!({ "name": "" })).send().await.expect(400);
    service.post("/customers", json!({ "name": "x" })).request_id("test-1").send().await.expect(409);
    service.post("/contacts", json!({ "name": "x", "customerId": "?" })).send().await.expect(400);
    service.delete("/customers/unknown").send().await.expect(404);
    assert_eq!(events(&service).await.len(), 1);
}

#[tokio::test]
async fn the_feed_goes_on_behind_its_cursor_by_type_and_within_the_tenant() {
    let service = Service::start().await;
    let empty = service.read("/events").await;
    assert_eq!(empty, json!({ "data": [], "cursor": "0" }));
    for _ in 0..5 {
        service.customer().await;
    }
    service.post("/customers", json!({ "name": "x" })).tenant("other").send().await.expect(201);
    let customer = service.customer().await;
    service.contact(&customer).await;
    service.app.order_events().await.unwrap();

    let (mut seen, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let page = service.read(&format!("/events?after={cursor}&limit=3")).await;
        let data = page["data"].as_array().unwrap().clone();
        cursor = id(&page, "cursor");
        if data.is_empty() {
            break;
        }
        assert!(data.len() <= 3);
        seen.extend(data);
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.iter().all(|event| event["data"]["tenantId"] == "default"));
    let mut ids: Vec<&str> = seen.iter().map(|event| event["eventId"].as_str().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 7);

    let contacts = service.read("/events?types=crm.contact.created,crm.contact.deleted").await;
    assert_eq!(contacts["data"].as_array().unwrap().len(), 1);
    // A reader of a few types stands where all others do: it does not look at the same events again.
    assert_eq!(contacts["cursor"], json!(cursor));
    let other = service.get("/events").tenant("other").send().await.expect(200).body;
    assert_eq!(other["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn parameters_out_of_range_are_refused_by_name() {
    let service = Service::start().await;
    for (query, details) in [
        ("after=x", "after: must be"),
        ("after=-1", "after: must be"),
        ("after=", "after: must be"),
        ("types=", "types: must be"),
        ("types=customer", "types: must be"),
        ("types=crm.customer.created,", "types: must be"),
        ("limit=0", "limit: must be a whole number from 1 to 1000"),
        ("limit=1001", "limit: must be"),
        ("wait=31", "wait: must be a whole number from 0 to 30"),
        ("wait=1&wait=1", "wait: must be sent once"),
    ] {
        service.get(&format!("/events?{query}")).send().await.refused(400, details);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_waits_is_woken_by_the_commit_and_by_the_end_of_the_service() {
    let service = Service::start().await;
    let background = Background::start(&service.app);
    let waiting = service.get("/events?wait=30").send();
    let writing = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        service.customer().await;
    };
    let (page, ()) = tokio::join!(waiting, writing);
    let page = page.expect(200).body;
    assert_eq!(page["data"].as_array().unwrap().len(), 1);

    let path = format!("/events?wait=30&after={}", id(&page, "cursor"));
    let waiting = service.get(&path).send();
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        service.app.outbox().stop_waiting();
    };
    let (page, ()) = tokio::join!(waiting, stopping);
    assert_eq!(page.expect(200).body["data"], json!([]));
    background.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_who_follows_many_writers_misses_none_and_sees_each_resource_in_order() {
    let service = Service::start().await;
    let background = Background::start(&service.app);
    let mut customers = Vec::new();
    for _ in 0..4 {
        customers.push(service.customer().await);
    }
    const CHANGES: usize = 40;
    let writing = futures_util::future::join_all((0..8).map(|writer| {
        let (service, customers) = (&service, &customers);
        async move {
            for change in 0..CHANGES {
                let path = format!("/customers/{}", customers[(writer + change) % customers.len()]);
                let body = json!({ "name": format!("{writer} {change}") });
                service.patch(&path, body).send().await.expect(200);
            }
        }
    }));
    let expected = customers.len() + 8 * CHANGES;
    let reading = async {
        let (mut seen, mut cursor) = (Vec::new(), "0".to_owned());
        for _ in 0..2_000 {
            let page = service.read(&format!("/events?after={cursor}&limit=7&wait=1")).await;
            cursor = id(&page, "cursor");
            seen.extend(page["data"].as_array().unwrap().clone());
            if seen.len() >= expected {
                break;
            }
        }
        seen
    };
    let (seen, _) = tokio::join!(reading, writing);
    assert_eq!(seen.len(), expected);
    let mut versions: HashMap<&str, i64> = HashMap::new();
    for event in &seen {
        let last = versions.entry(event["data"]["resource"]["customerId"].as_str().unwrap()).or_default();
        *last += 1;
        assert_eq!(event["data"]["version"], *last);
    }
    background.finish().await.unwrap();
}

#[tokio::test]
async fn events_past_their_time_go_and_a_reader_who_missed_them_is_told() {
    let service = Service::start().await;
    // The test lives for days; its token must, too.
    let lasting = json!({ "exp": 4_000_000_000_u64 });
    let early = id(&service.read("/events").await, "cursor");
    for _ in 0..2 {
        let call = service.post("/customers", json!({ "name": "x" }));
        call.claims(lasting.clone()).send().await.expect(201);
        service.app.order_events().await.unwrap();
        service.pass(4 * 24 * 3_600_000);
    }
    assert_eq!(service.app.purge().await.unwrap().events, 1);
    let path = format!("/events?after={early}");
    let refusal = service.get(&path).claims(lasting.clone()).send().await;
    refusal.refused(400, "after: events behind this cursor are no longer kept");
    let left = service.get("/events").claims(lasting.clone()).send().await.expect(200).body;
    assert_eq!(left["data"].as_array().unwrap().len(), 1);
    service.get(&path).claims(lasting).tenant("other").send().await.expect(200);
}

#[tokio::test]
async fn an_event_belongs_to_the_trace_of_its_request() {
    let service = Service::start().await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let call = service.post("/customers", json!({ "name": "x" }));
    call.header("traceparent", &format!("00-{trace}-b7ad6b7169203331-01")).send().await.expect(201);
    assert_eq!(events(&service).await[0]["traceId"], trace);
}
