//! The events of changes and the feed that serves them: complete, in order, without personal data.

use std::{collections::HashMap, time::Duration};

use crm::{
    background::{self, Background},
    events::outbox,
    service::{
        asyncapi,
        resources::{owned_tables, pii_tables, resources, searched_tables},
    },
};
use poem::http::Method;
use serde_json::{Value, json};

use crate::harness::{
    Call, DAY, FAR_FUTURE, Reply, Service,
    contract_walk::{changing_body, create_resources, operations, path},
    events::{CustomerVersions, assert_event_schema},
    id, within,
};

const FROZEN: &str = include_str!("../../../openapi/events.yaml");

/// All events of the default tenant.
async fn events(service: &Service) -> Vec<Value> {
    outbox::assign_positions(service.app.database()).await.unwrap();
    let page = service.read("/events?limit=1000").await;
    page["data"].as_array().unwrap().clone()
}

/// What happened to a resource: the last parts of the types of its events.
fn history<'e>(events: &'e [Value], kind: &str, id: &str) -> Vec<&'e str> {
    let prefix = format!("crm.{}.", kind.to_lowercase());
    let of_resource = events.iter().filter(|event| event["data"]["resource"][format!("{kind}Id")] == id);
    of_resource.filter_map(|event| event["eventType"].as_str().unwrap().strip_prefix(&prefix)).collect()
}

#[test]
fn the_emitted_document_equals_the_frozen_one() {
    assert!(
        asyncapi::yaml() == FROZEN,
        "the events changed: run `make contract` and read `git diff openapi`; openapi/README.md says what may change"
    );
}

#[tokio::test]
async fn every_event_type_occurs_and_conforms_to_its_schema() {
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
    for deleted in [format!("/contacts/{contact}"), format!("/customers/{customer}")] {
        service.delete(&deleted).send().await.expect(204);
        service.remove_deleted().await;
    }
    let body = json!({ "customerId": service.customer().await, "title": "Licence", "stage": 5 });
    let won = id(&service.create("/opportunities", body).await, "opportunityId");
    // Every resource of the contract: one that is new has its events here too.
    let ids = create_resources(&service).await;
    for operation in operations(&service).iter().filter(|operation| operation.method == Method::PATCH) {
        let body = changing_body(&service, operation, &ids);
        service.patch(&path(operation, &ids), body).send().await.expect(200);
    }
    let erasure = format!("/customers/{}/erasure", ids["customerId"]);
    service.post(&erasure, json!({})).send().await.expect(201);
    for kind in resources().iter().rev().map(|resource| resource.kind) {
        let id = &ids[&format!("{}Id", kind.name)];
        service.delete(&format!("/{}/{id}", kind.collection)).send().await.expect(204);
    }

    let events = events(&service).await;
    assert_eq!(history(&events, "customer", &customer), ["created", "updated", "deleted"]);
    assert_eq!(history(&events, "contact", &contact), ["created", "updated", "deleted"]);
    let of_opportunity = ["created", "updated", "closed", "updated", "reopened", "deleted"];
    assert_eq!(history(&events, "opportunity", &opportunity), of_opportunity);
    // The second update clears the reference to the deleted contact.
    assert_eq!(history(&events, "followUp", &follow_up), ["created", "updated", "updated", "deleted"]);
    assert_eq!(history(&events, "opportunity", &won), ["created", "closed"]);

    let document = asyncapi::document();
    let mut types: Vec<&str> = events.iter().map(|event| event["eventType"].as_str().unwrap()).collect();
    types.sort_unstable();
    types.dedup();
    let published = document["channels"]["events"]["messages"].as_object().unwrap().keys();
    let title = |name: &String| document["components"]["messages"][name]["title"].as_str().unwrap();
    let mut described: Vec<&str> = published.map(title).collect();
    described.sort_unstable();
    assert_eq!(types, described);

    let mut versions: HashMap<String, i64> = HashMap::new();
    for event in &events {
        assert_event_schema(&document, event);
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
async fn refused_and_ineffective_requests_publish_no_event() {
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
async fn the_feed_pages_by_cursor_filters_by_type_and_stays_in_the_tenant() {
    let service = Service::start().await;
    let empty = service.read("/events").await;
    assert_eq!((&empty["data"], &empty["gaps"]), (&json!([]), &json!([])));
    for _ in 0..5 {
        service.customer().await;
    }
    service.post("/customers", json!({ "name": "x" })).tenant("other").send().await.expect(201);
    let customer = service.customer().await;
    service.contact(&customer).await;
    outbox::assign_positions(service.app.database()).await.unwrap();

    let (mut seen, mut cursor) = (Vec::new(), id(&empty, "cursor"));
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
    // The cursor also passes events of other types, so that none is read twice.
    assert_eq!(contacts["cursor"], json!(cursor));
    let other = service.get("/events").tenant("other").send().await.expect(200).body;
    assert_eq!(other["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_invalid_parameter_is_400_by_name() {
    let service = Service::start().await;
    for (query, details) in [
        ("after=x", "after: must be"),
        ("after=-1", "after: must be"),
        ("after=", "after: must be"),
        ("after=v1", "after: must be"),
        ("after=v1AAAAAAAAAAAAAAAAAAAAAAAA", "after: must be a cursor that the feed answered"),
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

/// The reply, which must come long before the `wait` of the request is over.
async fn promptly(call: Call<'_>) -> Reply {
    tokio::time::timeout(Duration::from_secs(2), call.send()).await.expect("the reader was not woken")
}

async fn reader_waits(service: &Service) {
    within(10, "the reader waits", async || service.app.events().waiting_tenants() == ["default"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_reader_wakes_on_commit_and_on_shutdown() {
    let service = Service::start().await;
    let background = Background::start(&service.app, pii_tables(), searched_tables(), owned_tables());
    let waiting = promptly(service.get("/events?wait=30"));
    let writing = async {
        reader_waits(&service).await;
        service.customer().await;
    };
    let (page, ()) = tokio::join!(waiting, writing);
    let page = page.expect(200).body;
    assert_eq!(page["data"].as_array().unwrap().len(), 1);

    let waiting = promptly(service.get(&format!("/events?wait=30&after={}", id(&page, "cursor"))));
    let stopping = async {
        reader_waits(&service).await;
        service.app.events().stop_waiting();
    };
    let (page, ()) = tokio::join!(waiting, stopping);
    assert_eq!(page.expect(200).body["data"], json!([]));
    background.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_of_concurrent_writers_gets_every_event_in_order() {
    let service = Service::start().await;
    let background = Background::start(&service.app, pii_tables(), searched_tables(), owned_tables());
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
    let mut versions = CustomerVersions::default();
    for event in &seen {
        versions.assert_next(event);
    }
    background.finish().await.unwrap();
}

#[tokio::test]
async fn expired_events_are_purged_and_a_cursor_before_them_is_400() {
    let service = Service::start().await;
    // An hour's token expires with the first advance of the clock.
    let lasting = json!({ "exp": FAR_FUTURE });
    let early = id(&service.read("/events").await, "cursor");
    for _ in 0..2 {
        let call = service.post("/customers", json!({ "name": "x" }));
        call.claims(lasting.clone()).send().await.expect(201);
        outbox::assign_positions(service.app.database()).await.unwrap();
        service.advance(4 * DAY);
    }
    assert_eq!(background::purge(&service.app).await.unwrap().events, 1);
    let path = format!("/events?after={early}");
    let refusal = service.get(&path).claims(lasting.clone()).send().await;
    refusal.refused(400, "after: events behind this cursor are no longer kept");
    let left = service.get("/events").claims(lasting.clone()).send().await.expect(200).body;
    assert_eq!(left["data"].as_array().unwrap().len(), 1);
    let other = service.get("/events").claims(lasting.clone()).tenant("other").send().await.expect(200).body;
    let path = format!("/events?after={}", id(&other, "cursor"));
    service.get(&path).claims(lasting).tenant("other").send().await.expect(200);
}

#[tokio::test]
async fn an_event_carries_the_trace_id_of_its_request() {
    let service = Service::start().await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let call = service.post("/customers", json!({ "name": "x" }));
    call.header("traceparent", &format!("00-{trace}-b7ad6b7169203331-01")).send().await.expect(201);
    assert_eq!(events(&service).await[0]["traceId"], trace);
}
