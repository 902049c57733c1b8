//! Idempotency: an accepted request takes effect once, a refused one not at all.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Service, UNKNOWN_ID, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_concurrent_duplicates_one_is_201_and_the_rest_409() {
    let service = Service::start().await;
    let calls = (0..64).map(|_| service.post("/customers", json!({ "name": "Acme" })).request_id("the-same").send());
    let replies = join_all(calls).await;
    let (made, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 201);
    assert_eq!(made.len(), 1);
    let location = made[0].header("Location").to_owned();
    for reply in refused {
        assert_eq!(reply.expect(409).header("Location"), location);
    }
    assert_eq!(service.read("/customers").await["total"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_32_concurrent_duplicate_patches_one_is_200_and_the_rest_409() {
    let service = Service::start().await;
    let path = format!("/customers/{}", service.customer().await);
    let calls = (0..32)
        .map(|number| service.patch(&path, json!({ "name": format!("name {number}") })).request_id("the-same").send());
    let replies = join_all(calls).await;
    let made: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert_eq!(made.len(), 1);
    assert!(replies.iter().all(|reply| reply.status == 200 || reply.status == 409));
    assert_eq!(service.read(&path).await, made[0].body);
}

#[tokio::test]
async fn a_request_id_is_unique_per_tenant_across_methods_and_paths() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let location = format!("/api/v1/crm/customers/{customer}");
    let body = json!({ "name": "other" });
    service.patch(&format!("/customers/{customer}"), body.clone()).request_id("one").send().await.expect(200);
    for call in [
        service.post("/customers", body.clone()),
        service.post("/follow-ups", json!({ "content": "x" })),
        service.patch(&format!("/customers/{customer}"), body.clone()),
    ] {
        assert_eq!(call.request_id("one").send().await.expect(409).header("Location"), location);
    }
    service.post("/customers", body).request_id("one").tenant("other").send().await.expect(201);
}

#[tokio::test]
async fn a_refused_request_does_not_use_up_its_id() {
    let service = Service::start().await;
    let refused = [
        (service.post("/customers", json!({ "name": "" })), 400),
        (service.post("/customers", json!({ "name": "x" })).without("Authorization"), 401),
        (service.post("/customers", json!({ "name": "x" })).claims(json!({ "scope": "crm:read" })), 403),
        (service.post("/customers", json!({ "name": "x" })).header("Content-Type", "text/plain"), 415),
        (service.patch(&format!("/customers/{UNKNOWN_ID}"), json!({ "name": "x" })), 404),
        (service.post("/contacts", json!({ "name": "x", "customerId": UNKNOWN_ID })), 400),
    ];
    for (call, status) in refused {
        call.request_id("again").send().await.expect(status);
    }
    service.post("/customers", json!({ "name": "x" })).request_id("again").send().await.expect(201);
}

#[tokio::test]
async fn a_duplicate_is_409_after_body_checks_and_before_any_lookup() {
    let service = Service::start().await;
    service.post("/customers", json!({ "name": "x" })).request_id("used").send().await.expect(201);
    let body = json!({ "name": "x", "customerId": UNKNOWN_ID });
    service.post("/contacts", body).request_id("used").send().await.expect(409);
    for id in [UNKNOWN_ID, "malformed"] {
        service.patch(&format!("/customers/{id}"), json!({})).request_id("used").send().await.expect(409);
    }
    service.post("/customers", json!({ "name": "" })).request_id("used").send().await.expect(400);
}

#[tokio::test]
async fn a_duplicate_is_409_with_the_location_of_a_deleted_resource() {
    let service = Service::start().await;
    let reply = service.post("/customers", json!({ "name": "x" })).request_id("used").send().await.expect(201);
    let customer = id(&reply.body, "customerId");
    service.delete(&format!("/customers/{customer}")).send().await.expect(204);
    let again = service.post("/customers", json!({ "name": "x" })).request_id("used").send().await.expect(409);
    assert_eq!(again.header("Location"), reply.header("Location"));
}

#[tokio::test]
async fn a_delete_neither_needs_nor_uses_up_a_request_id() {
    let service = Service::start().await;
    let (one, other) = (service.customer().await, service.customer().await);
    service.delete(&format!("/customers/{one}")).request_id("reused").send().await.expect(204);
    service.delete(&format!("/customers/{other}")).request_id("reused").send().await.expect(204);
    service.post("/customers", json!({ "name": "x" })).request_id("reused").send().await.expect(201);
    service.get("/customers").request_id("reused").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disconnecting_client_leaves_a_whole_write_or_none() {
    let service = Service::start().await;
    for polls in 1..40 {
        let body = json!({ "name": "gone" });
        service.post("/customers", body).request_id(&format!("gone-{polls}")).hang_up_after(polls).await;
    }
    for polls in 1..40 {
        let body = json!({ "name": "gone" });
        let again = service.post("/customers", body).request_id(&format!("gone-{polls}")).send().await;
        if again.status == 409 {
            let path = again.header("Location").strip_prefix("/api/v1/crm").unwrap().to_owned();
            assert_eq!(service.read(&path).await["name"], "gone", "the id is used up without its effect");
        } else {
            again.expect(201);
        }
    }
    assert_eq!(service.read("/customers").await["total"], 39, "a write without its id");
}
