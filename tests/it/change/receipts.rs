//! Receipts: what came of an accepted request, for whoever has its key.

use crm::background;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{
    Call, DAY, Service, UNKNOWN_ID,
    contract::Operation,
    contract_walk::{create_resources, operations, path, request},
    id,
};

/// Each byte percent-encoded.
fn encoded(key: &str) -> String {
    key.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn every_post_and_patch_leaves_a_receipt_of_what_it_did() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    service.advance(1000);
    for (number, operation) in operations(&service).into_iter().filter(Operation::has_body).enumerate() {
        let key = format!("key-{number}");
        service.get(&format!("/requests/{key}")).send().await.expect(404);
        let reply = request(&service, &operation, &ids).request_id(&key).send().await.expect(operation.success());
        let again = request(&service, &operation, &ids).request_id(&key).send().await.expect(409);
        let action = match &operation.template {
            template if template.ends_with("/erasure") => "erased",
            _ if operation.creates() => "created",
            _ => "updated",
        };
        let receipt = service.read(&format!("/requests/{key}")).await;
        let expected = json!({
            "requestId": key,
            "committedAt": "2026-01-31T09:30:01.125Z",
            "action": action,
            "resource": again.body["resource"],
            "location": again.header("Location"),
        });
        assert_eq!(receipt, expected, "{} {}", operation.method, operation.template);
        if operation.creates() {
            assert_eq!(receipt["location"], reply.header("Location"));
            assert_eq!(receipt["committedAt"], reply.body["createdAt"]);
        } else {
            let path = path(&operation, &ids);
            assert!(receipt["location"].as_str().unwrap().ends_with(path.trim_end_matches("/erasure")));
        }
        assert_eq!(service.read(&format!("/requests?key={key}")).await, receipt);
    }
}

#[tokio::test]
async fn a_receipt_is_found_by_every_key_that_can_be_claimed() {
    let service = Service::start().await;
    let all: String = ('!'..='~').collect();
    let keys = ["a/b", "a%2Fb", "%", "?key=x", "#", "..", ".", "/", "a+b", "a&b=c", "\"", "';--", "\\", &all, "~"];
    for key in keys {
        let made = service.post("/customers", json!({ "name": "x" })).request_id(key).send().await.expect(201);
        for address in [format!("/requests/{}", encoded(key)), format!("/requests?key={}", encoded(key))] {
            let receipt = service.read(&address).await;
            assert_eq!((&receipt["requestId"], &receipt["resource"]["id"]), (&json!(key), &made.body["customerId"]));
        }
    }
    assert_eq!(service.read("/requests?key=a+b").await["requestId"], "a+b", "a key holds no blank");
    assert_eq!(service.read("/requests?key=a/b").await["requestId"], "a/b");
    service.get("/requests/a/b").send().await.expect(404);
    let quoted = service.post("/customers", json!({ "name": "x" })).header("Idempotency-Key", "\"quoted\"");
    quoted.send().await.expect(201);
    assert_eq!(service.read("/requests/quoted").await["requestId"], "quoted");
    service.get(&format!("/requests/{}", encoded("\"quoted\""))).send().await.expect(404);
}

#[tokio::test]
async fn unknown_malformed_foreign_and_deleting_requests_have_no_receipt() {
    let service = Service::start().await;
    let foreign = service.post("/customers", json!({ "name": "x" })).request_id("foreign").tenant("other");
    foreign.send().await.expect(201);
    let path = format!("/customers/{}", service.customer().await);
    service.delete(&path).request_id("deleting").send().await.expect(204);
    for key in ["unknown", "foreign", "deleting", "FOREIGN", "%00", "%FF", "two%20words", &"x".repeat(129), "%C3%A9"] {
        let reply = service.get(&format!("/requests/{key}")).request_id("look").send().await.expect(404);
        assert_eq!(reply.body["details"], "the tenant has nothing at /requests/{request_id} with this id");
    }
    for key in ["unknown", "foreign", "deleting"] {
        service.get(&format!("/requests?key={key}")).send().await.expect(404);
    }
    service.get("/requests").send().await.refused(400, "key: is required");
    service.get("/requests?key=").send().await.refused(400, "key: must be 1 to 128 visible ASCII characters");
    service.get("/requests?key=%00").send().await.refused(400, "key: must be 1 to 128");
    service.get("/requests?key=a&key=a").send().await.refused(400, "key: must be sent once");
}

#[tokio::test]
async fn whoever_may_read_or_write_may_see_a_receipt_and_nobody_else() {
    let service = Service::start().await;
    service.post("/customers", json!({ "name": "x" })).request_id("mine").send().await.expect(201);
    let get = |scope: &str| service.get("/requests/mine").claims(json!({ "scope": scope }));
    for scope in ["crm:read", "crm:write", "", "crm:write other"] {
        get(scope).send().await.expect(200);
    }
    for scope in ["crm:pii:read", "crm:pii:erase", "crm:audit:read", "crm:other", "CRM:READ"] {
        get(scope).send().await.refused(403, "crm:read");
    }
    get("crm:write").tenant("other").send().await.expect(404);
}

#[tokio::test]
async fn a_receipt_outlives_its_resource_and_goes_with_its_key() {
    let service = Service::start().await;
    let made = service.post("/customers", json!({ "name": "x" })).request_id("mine").send().await.expect(201);
    let customer = id(&made.body, "customerId");
    let before = service.read("/requests/mine").await;
    service.delete(&format!("/customers/{customer}")).send().await.expect(204);
    service.remove_deleted().await;
    assert_eq!(service.read("/requests/mine").await, before);
    for _day in 0..31 {
        let ask = || service.get("/requests/mine").claims(json!({ "exp": crate::harness::FAR_FUTURE })).send();
        ask().await.expect(200);
        service.advance(DAY);
        background::purge(&service.app).await.unwrap();
        if ask().await.status == 404 {
            return;
        }
    }
    panic!("the receipt is still there");
}

#[tokio::test]
async fn a_receipt_of_the_previous_release_says_when_but_not_what() {
    let service = Service::start().await;
    service.post("/customers", json!({ "name": "x" })).request_id("mine").send().await.expect(201);
    let database = service.database.connect().await;
    let forget = "UPDATE idempotent SET action = NULL, committed_at = NULL, resource_type = 'quotes'";
    database.execute_unprepared(forget).await.unwrap();
    let receipt = service.read("/requests/mine").await;
    assert_eq!(receipt["action"], Value::Null);
    assert_eq!(receipt["committedAt"], "2026-01-31T09:30:00.125Z");
    // What this release does not know yet is called by its collection.
    assert_eq!(receipt["resource"]["type"], "quotes");
    assert!(receipt["location"].as_str().unwrap().starts_with("/api/v1/crm/quotes/"), "{receipt}");
    let again = service.post("/customers", json!({ "name": "x" })).request_id("mine").send().await.expect(409);
    assert_eq!((&again.body["resource"], again.header("Location")), (&receipt["resource"], &*id(&receipt, "location")));
}

#[tokio::test]
async fn a_duplicate_and_a_refusal_leave_the_receipt_as_it_is() {
    let service = Service::start().await;
    let made = service.post("/customers", json!({ "name": "x" })).request_id("mine").send().await.expect(201);
    let path = format!("/customers/{}", id(&made.body, "customerId"));
    let before = service.read("/requests/mine").await;
    service.advance(1000);
    let calls: [(Call<'_>, u16); 4] = [
        (service.patch(&path, json!({ "name": "y" })), 409),
        (service.patch(&path, json!({ "name": "" })), 400),
        (service.patch(&format!("/customers/{UNKNOWN_ID}"), json!({})).header("If-Match", "\"1\""), 409),
        (service.delete(&path), 204),
    ];
    for (call, status) in calls {
        call.request_id("mine").send().await.expect(status);
        assert_eq!(service.read("/requests/mine").await, before);
    }
}
