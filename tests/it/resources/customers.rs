//! Customers, and what is deleted with them.

use serde_json::{Value, json};

use crate::harness::{Service, id};

#[tokio::test]
async fn a_created_customer_has_every_field_and_is_a_prospect() {
    let service = Service::start().await;
    let reply = service.post("/customers", json!({ "name": "  Acme  " })).send().await.expect(201);
    let customer_id = id(&reply.body, "customerId");
    assert_eq!(
        reply.body,
        json!({
            "customerId": customer_id,
            "tenantId": "default",
            "name": "Acme",
            "contactPhone": null,
            "contactEmail": null,
            "status": 0,
            "createdAt": "2026-01-31T09:30:00.125Z",
            "updatedAt": "2026-01-31T09:30:00.125Z",
        })
    );
    assert_eq!(reply.header("Location"), format!("/api/v1/crm/customers/{customer_id}"));
    assert_eq!(service.read(&format!("/customers/{customer_id}")).await, reply.body);
}

#[tokio::test]
async fn a_patch_sets_clears_with_null_and_advances_updated_at() {
    let service = Service::start().await;
    let body = json!({ "name": "Acme", "contactPhone": "13812345678", "contactEmail": "a@b.com" });
    let customer = service.create("/customers", body).await;
    let path = format!("/customers/{}", id(&customer, "customerId"));
    service.advance(60_000);
    let body = json!({ "name": "Acme & Sons", "contactPhone": null });
    let changed = service.patch(&path, body).send().await.expect(200).body;
    let mut expected = customer.clone();
    expected["name"] = json!("Acme & Sons");
    expected["contactPhone"] = Value::Null;
    expected["updatedAt"] = json!("2026-01-31T09:31:00.125Z");
    assert_eq!(changed, expected);
    assert_eq!(service.read(&path).await, expected);
}

#[tokio::test]
async fn a_patch_with_the_same_values_changes_nothing() {
    let service = Service::start().await;
    let customer = service.create("/customers", json!({ "name": "Acme" })).await;
    service.advance(60_000);
    let path = format!("/customers/{}", id(&customer, "customerId"));
    let body = json!({ "name": " Acme ", "contactPhone": null });
    assert_eq!(service.patch(&path, body).send().await.expect(200).body, customer);
}

#[tokio::test]
async fn updated_at_advances_even_if_the_clock_stands_still_or_goes_back() {
    let service = Service::start().await;
    let path = format!("/customers/{}", service.customer().await);
    let mut last = service.read(&path).await["updatedAt"].as_str().unwrap().to_owned();
    for (number, millis) in [0, 0, -5_000, 0, 10_000].into_iter().enumerate() {
        service.advance(millis);
        let body = json!({ "name": format!("name {number}") });
        let next = service.patch(&path, body).send().await.expect(200).body["updatedAt"].as_str().unwrap().to_owned();
        assert!(next > last, "{next} after {last}");
        last = next;
    }
}

#[tokio::test]
async fn the_status_cannot_be_set() {
    let service = Service::start().await;
    let path = format!("/customers/{}", service.customer().await);
    service.patch(&path, json!({ "status": 1 })).send().await.refused(400, "status: is not a field");
    service.post("/customers", json!({ "name": "x", "status": 1 })).send().await.refused(400, "status: is not a field");
}

#[tokio::test]
async fn deleting_a_customer_deletes_what_belongs_to_it_and_nothing_else() {
    let service = Service::start().await;
    let mut paths = Vec::new();
    for _ in 0..2 {
        let customer = service.customer().await;
        let contact = service.contact(&customer).await;
        let opportunity = service.opportunity(&customer).await;
        let about = json!({ "content": "x", "opportunityId": opportunity, "contactId": contact });
        let follow_up = service.follow_up(about).await;
        let own = service.follow_up(json!({ "content": "x", "customerId": customer })).await;
        paths.push([
            format!("/customers/{customer}"),
            format!("/contacts/{contact}"),
            format!("/opportunities/{opportunity}"),
            format!("/follow-ups/{follow_up}"),
            format!("/follow-ups/{own}"),
        ]);
    }
    service.delete(&paths[0][0]).send().await.expect(204);
    for path in &paths[0] {
        service.get(path).send().await.expect(404);
    }
    for path in &paths[1] {
        service.get(path).send().await.expect(200);
    }
    for list in ["/customers", "/contacts", "/opportunities"] {
        assert_eq!(service.read(list).await["total"], 1);
    }
    assert_eq!(service.read("/follow-ups").await["total"], 2);
}
