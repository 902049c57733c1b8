//! A customer or an opportunity in one look.

mod amounts;
mod snapshots;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde_json::{Value, json};

use crate::harness::{DAY, FAR_FUTURE, Service, UNKNOWN_ID, id};

/// The values of a field of each item.
fn values(list: &Value, field: &str) -> Vec<Value> {
    list["data"].as_array().unwrap().iter().map(|item| item[field].clone()).collect()
}

async fn overview(service: &Service, customer: &str) -> Value {
    service.read(&format!("/customers/{customer}/overview")).await
}

#[tokio::test]
async fn a_customer_of_which_nothing_is_known_yet_has_an_overview() {
    let service = Service::start().await;
    let customer = service.create("/customers", json!({ "name": "Acme" })).await;
    let seen = overview(&service, &id(&customer, "customerId")).await;
    assert_eq!(seen["customer"], customer);
    assert_eq!(seen["contacts"], json!({ "data": [], "total": 0 }));
    assert_eq!(seen["opportunities"], json!({ "data": [], "total": 0, "amounts": [], "amountsComplete": true }));
    assert_eq!(
        seen["followUps"],
        json!({ "data": [], "total": 0, "lastContactAt": null, "daysSinceLastContact": null })
    );
    assert_eq!(seen["recent"].as_array().unwrap().len(), 1);
    service.get(&format!("/customers/{UNKNOWN_ID}/overview")).send().await.expect(404);
    service.get("/customers/none/overview").send().await.expect(404);
    service.get(&format!("/opportunities/{UNKNOWN_ID}/overview")).send().await.expect(404);
}

#[tokio::test]
async fn the_first_of_everything_is_shown_and_all_of_it_is_counted() {
    let service = Service::start().await;
    let (customer, other) = (service.customer().await, service.customer().await);
    let mut contacts = Vec::new();
    for number in 0..25 {
        let body = json!({ "customerId": customer, "name": format!("Li {number}"), "isPrimary": number == 2 });
        contacts.push(id(&service.create("/contacts", body).await, "contactId"));
    }
    let mut opportunities = Vec::new();
    for number in 0..30_u64 {
        service.advance(1);
        let body = json!({ "customerId": customer, "title": "x", "stage": number % 7, "amountCents": number });
        opportunities.push(service.create("/opportunities", body).await);
        service.advance(1);
        service.follow_up(json!({ "customerId": customer, "content": number.to_string() })).await;
    }
    service.contact(&other).await;
    service.opportunity(&other).await;
    service.follow_up(json!({ "customerId": other, "content": "x" })).await;

    let seen = overview(&service, &customer).await;
    let newest = contacts[6..].iter().rev();
    let expected: Vec<Value> = [&contacts[2]].into_iter().chain(newest).map(|contact| json!(contact)).collect();
    assert_eq!(values(&seen["contacts"], "contactId"), expected);
    assert_eq!((&seen["contacts"]["total"], &seen["followUps"]["total"]), (&json!(25), &json!(30)));
    // Open ones from the furthest stage to the first, 22 of 30; the newest first in each.
    assert_eq!(seen["opportunities"]["total"], 30);
    opportunities.sort_by_key(|one| {
        let stage = one["stage"].as_i64().unwrap();
        (std::cmp::Reverse(if stage < 5 { stage } else { -1 }), std::cmp::Reverse(one["amountCents"].as_u64()))
    });
    assert_eq!(seen["opportunities"]["data"], json!(opportunities[..20]));
    let contents: Vec<Value> = (10..30).rev().map(|number: i32| json!(number.to_string())).collect();
    assert_eq!(values(&seen["followUps"], "content"), contents);
    let timeline = service.read(&format!("/customers/{customer}/timeline?limit=10")).await;
    assert_eq!(seen["recent"], timeline["data"]);

    // Of those that are not open, the newest first.
    for open in opportunities.iter().filter(|one| one["stage"].as_u64().unwrap() < 4) {
        let path = format!("/opportunities/{}", id(open, "opportunityId"));
        service.delete(&path).send().await.expect(204);
    }
    let seen = overview(&service, &customer).await;
    let stages = values(&seen["opportunities"], "stage");
    assert_eq!((stages.len(), &seen["opportunities"]["total"]), (12, &json!(12)));
    assert_eq!(
        stages.iter().map(|stage| stage.as_u64().unwrap()).collect::<Vec<_>>(),
        [4, 4, 4, 4, 6, 5, 6, 5, 6, 5, 6, 5]
    );
}

#[tokio::test]
async fn the_last_contact_is_told_in_whole_days() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let opportunity = service.opportunity(&customer).await;
    let follow_up = service.create("/follow-ups", json!({ "opportunityId": opportunity, "content": "x" })).await;
    let paths = [format!("/customers/{customer}/overview"), format!("/opportunities/{opportunity}/overview")];
    for (passed, days) in [(0, 0), (DAY - 1, 0), (1, 1), (3 * DAY, 4), (-9 * DAY, 0)] {
        service.advance(passed);
        for path in &paths {
            let call = service.get(path).claims(json!({ "scope": "crm:read", "exp": FAR_FUTURE }));
            let seen = call.send().await.expect(200).body;
            assert_eq!(seen["followUps"]["lastContactAt"], follow_up["createdAt"]);
            assert_eq!(seen["followUps"]["daysSinceLastContact"], days);
        }
    }
}

#[tokio::test]
async fn an_opportunity_is_shown_with_its_customer_and_its_follow_ups() {
    let service = Service::start().await;
    let (customer, other) = (service.customer().await, service.customer().await);
    let opportunity = service.opportunity(&customer).await;
    service.opportunity(&other).await;
    for number in 0..22 {
        service.follow_up(json!({ "opportunityId": opportunity, "content": number.to_string() })).await;
    }
    service.follow_up(json!({ "customerId": customer, "content": "of another" })).await;
    let path = format!("/opportunities/{opportunity}");
    let seen = service.read(&format!("{path}/overview")).await;
    assert_eq!(seen["opportunity"], service.read(&path).await);
    assert_eq!(seen["customer"], service.read(&format!("/customers/{customer}")).await);
    let contents: Vec<Value> = (2..22).rev().map(|number: i32| json!(number.to_string())).collect();
    assert_eq!((values(&seen["followUps"], "content"), &seen["followUps"]["total"]), (contents, &json!(22)));
    service.advance(1);
    service.patch(&path, json!({ "stage": 3 })).send().await.expect(200);
    let stages = service.read(&format!("{path}/stage-history")).await;
    assert_eq!(stages["data"].as_array().unwrap().len(), 2);
    assert_eq!(service.read(&format!("{path}/overview")).await["stages"], stages["data"]);
    // It goes with its customer.
    service.delete(&format!("/customers/{customer}")).send().await.expect(204);
    service.get(&format!("{path}/overview")).send().await.expect(404);
}

#[tokio::test]
async fn personal_data_is_masked_or_its_reading_is_recorded() {
    let service = Service::start().await;
    let body = json!({ "name": "Acme", "contactPhone": "13812345678" });
    let customer = id(&service.create("/customers", body).await, "customerId");
    let body = json!({ "customerId": customer, "name": "Li Lei", "email": "li.lei@acme.example" });
    let contact = id(&service.create("/contacts", body).await, "contactId");
    let opportunity = service.opportunity(&customer).await;
    let path = format!("/customers/{customer}/overview");
    for (scope, phone, email, readings) in [
        ("crm:read", "138****5678", "l***@acme.example", 0),
        ("crm:read crm:pii:read", "13812345678", "li.lei@acme.example", 2),
    ] {
        let seen = service.get(&path).claims(json!({ "scope": scope })).send().await.expect(200);
        assert_eq!(seen.header("Cache-Control"), "no-store");
        assert_eq!(seen.body["customer"]["contactPhone"], phone);
        assert_eq!(seen.body["contacts"]["data"][0]["email"], email);
        while service.app.audit_queue().flush(service.app.database()).await.unwrap() > 0 {}
        let read = service.trail("action=read").await;
        assert_eq!(read.len(), readings);
        let ids: Vec<&Value> = read.iter().map(|entry| &entry["resourceId"]).collect();
        assert!(readings == 0 || (ids.contains(&&json!(customer)) && ids.contains(&&json!(contact))), "{ids:?}");
    }
    let path = format!("/opportunities/{opportunity}/overview");
    let seen = service.get(&path).claims(json!({ "scope": "crm:read" })).send().await.expect(200).body;
    assert_eq!(seen["customer"]["contactPhone"], "138****5678");
    service.read(&path).await;
    while service.app.audit_queue().flush(service.app.database()).await.unwrap() > 0 {}
    assert_eq!(service.trail("action=read").await.len(), 3);
}

#[tokio::test]
async fn the_number_of_statements_does_not_grow() {
    let service = Service::start().await;
    let (small, large) = (service.customer().await, service.customer().await);
    let mut opportunities = Vec::new();
    for customer in [&small].into_iter().chain([&large; 30]) {
        service.contact(customer).await;
        let opportunity = service.opportunity(customer).await;
        for _ in 0..2 {
            service.follow_up(json!({ "opportunityId": opportunity, "content": "x" })).await;
        }
        opportunities.push(opportunity);
    }
    let statements = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&statements);
    service.app.database().statements().observe(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let cost = async |path: String| {
        statements.store(0, Ordering::SeqCst);
        service.read(&path).await;
        statements.load(Ordering::SeqCst)
    };
    for part in ["overview", "timeline"] {
        let (few, many) =
            (cost(format!("/customers/{small}/{part}")).await, cost(format!("/customers/{large}/{part}")).await);
        assert_eq!(few, many, "{part}");
        assert!((3..20).contains(&few), "{few} statements");
    }
    let (first, last) = (&opportunities[0], &opportunities[30]);
    for _ in 0..30 {
        service.follow_up(json!({ "opportunityId": last, "content": "x" })).await;
    }
    let few = cost(format!("/opportunities/{first}/overview")).await;
    assert_eq!(few, cost(format!("/opportunities/{last}/overview")).await);
}
