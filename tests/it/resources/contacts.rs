//! Contacts, and which of them is primary.

use serde_json::{Value, json};

use crate::harness::{Service, UNKNOWN_ID, id};

async fn primaries(service: &Service, customer: &str) -> Vec<String> {
    let list = service.read(&format!("/contacts?customerId={customer}&pageSize=100")).await;
    let contacts = list["data"].as_array().unwrap();
    contacts.iter().filter(|contact| contact["isPrimary"] == true).map(|contact| id(contact, "contactId")).collect()
}

async fn primary(service: &Service, customer: &str) -> String {
    let body = json!({ "customerId": customer, "name": "Han Meimei", "isPrimary": true });
    id(&service.create("/contacts", body).await, "contactId")
}

#[tokio::test]
async fn a_created_contact_has_every_field_and_is_not_primary() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let contact = service.create("/contacts", json!({ "customerId": customer, "name": "Li Lei" })).await;
    assert_eq!(
        contact,
        json!({
            "contactId": contact["contactId"],
            "tenantId": "default",
            "customerId": customer,
            "name": "Li Lei",
            "phone": null,
            "email": null,
            "isPrimary": false,
            "createdAt": "2026-01-31T09:30:00.125Z",
            "updatedAt": "2026-01-31T09:30:00.125Z",
        })
    );
}

#[tokio::test]
async fn a_new_primary_contact_demotes_and_updates_the_former_one() {
    let service = Service::start().await;
    let (customer, other) = (service.customer().await, service.customer().await);
    let elsewhere = primary(&service, &other).await;
    let first = primary(&service, &customer).await;
    service.advance(1000);
    let second = primary(&service, &customer).await;
    assert_eq!(primaries(&service, &customer).await, [second]);
    assert_eq!(service.read(&format!("/contacts/{first}")).await["updatedAt"], "2026-01-31T09:30:01.125Z");

    service.patch(&format!("/contacts/{first}"), json!({ "isPrimary": true })).send().await.expect(200);
    assert_eq!(primaries(&service, &customer).await, [first]);
    assert_eq!(primaries(&service, &other).await, [elsewhere]);
}

#[tokio::test]
async fn making_the_primary_contact_primary_again_changes_nothing() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let path = format!("/contacts/{}", primary(&service, &customer).await);
    let before = service.read(&path).await;
    service.advance(1000);
    assert_eq!(service.patch(&path, json!({ "isPrimary": true })).send().await.expect(200).body, before);
}

#[tokio::test]
async fn demoting_or_deleting_the_primary_promotes_nobody() {
    let service = Service::start().await;
    let customer = service.customer().await;
    service.contact(&customer).await;
    let first = primary(&service, &customer).await;
    service.patch(&format!("/contacts/{first}"), json!({ "isPrimary": false })).send().await.expect(200);
    assert_eq!(primaries(&service, &customer).await, Vec::<String>::new());
    let second = primary(&service, &customer).await;
    service.delete(&format!("/contacts/{second}")).send().await.expect(204);
    assert_eq!(primaries(&service, &customer).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_requests_for_primary_leave_exactly_one() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let contacts = futures_util::future::join_all((0..8).map(|_| service.contact(&customer))).await;
    let requests = contacts
        .iter()
        .map(|contact| service.patch(&format!("/contacts/{contact}"), json!({ "isPrimary": true })).send());
    for reply in futures_util::future::join_all(requests).await {
        reply.expect(200);
    }
    assert_eq!(primaries(&service, &customer).await.len(), 1);
}

#[tokio::test]
async fn a_contact_needs_an_existing_customer_and_cannot_change_it() {
    let service = Service::start().await;
    let customer = service.customer().await;
    for unknown in [UNKNOWN_ID, "x"] {
        let body = json!({ "customerId": unknown, "name": "Li Lei" });
        service.post("/contacts", body).send().await.refused(400, "customerId: must be the id of an existing resource");
    }
    let path = format!("/contacts/{}", service.contact(&customer).await);
    let body = json!({ "customerId": customer });
    service.patch(&path, body).send().await.refused(400, "customerId: is not a field");
}

#[tokio::test]
async fn deleting_a_contact_clears_it_from_its_follow_ups() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let contact = service.contact(&customer).await;
    let about = service.follow_up(json!({ "content": "x", "contactId": contact })).await;
    service.advance(1000);
    service.delete(&format!("/contacts/{contact}")).send().await.expect(204);
    let follow_up = service.read(&format!("/follow-ups/{about}")).await;
    assert_eq!(follow_up["contactId"], Value::Null);
    assert_eq!(follow_up["customerId"], json!(customer));
    service.remove_deleted().await;
    let follow_up = service.read(&format!("/follow-ups/{about}")).await;
    assert_eq!(follow_up["updatedAt"], "2026-01-31T09:30:01.125Z");
}
