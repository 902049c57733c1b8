//! Contacts.

use serde_json::{Value, json};

use crate::harness::{Service, id};

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
async fn a_created_contact_is_not_primary_unless_asked_and_has_every_field() {
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
async fn a_new_primary_contact_demotes_the_former_and_moves_its_updated_at() {
    let service = Service::start().await;
    let (customer, other) = (service.customer().await, service.customer().await);
    let elsewhere = primary(&service, &other).await;
    let first = primary(&service, &customer).await;
    service.pass(1000);
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
    service.pass(1000);
    assert_eq!(service.patch(&path, json!({ "isPrimary": true })).send().await.expect(200).body, before);
}

#[tokio::test]
async fn taking_or_deleting_the_primary_promotes_nobody() {
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
async fn concurrent_claims_to_be_primary_leave_exactly_one() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let contacts = futures_util::future::join_all((0..8).map(|_| service.contact(&customer))).await;
    let claims = contacts
        .iter()
        .map(|contact| service.patch(&format!("/contacts/{contact}"), json!({ "isPrimary": true })).send());
    for reply in futures_util::future::join_all(claims).await {
        reply.expect(200);
    }
    assert_eq!(primaries(&service, &customer).await.len(), 1);
}

#[tokio::test]
async fn a_contact_needs_an_existing_customer_and_keeps_it() {
    let service = Service::start().await;
    let customer = service.customer().await;
    for stranger in ["019aa5c8-7d40-7c1e-b3a2-5f0e6d1c2b3a", "x"] {
        let body = json!({ "customerId": stranger, "name": "Li Lei" });
        service.post("/contacts", body).send().await.refused(400, "customerId: must be the id of an existing resource");
    }
    let path = format!("/contacts/{}", service.contact(&customer).await);
    let body = json!({ "customerId": customer });
    service.patch(&path, body).send().await.refused(400, "customerId: is not a field");
}

#[tokio::test]
async fn deleting_a_contact_keeps_its_follow_ups_and_clears_their_reference() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let contact = service.contact(&customer).await;
    let about = service.follow_up(json!({ "content": "x", "contactId": contact })).await;
    service.pass(1000);
    service.delete(&format!("/contacts/{contact}")).send().await.expect(204);
    let follow_up = service.read(&format!("/follow-ups/{about}")).await;
    assert_eq!(follow_up["contactId"], Value::Null);
    assert_eq!(follow_up["customerId"], json!(customer));
    assert_eq!(follow_up["updatedAt"], "2026-01-31T09:30:01.125Z");
}
