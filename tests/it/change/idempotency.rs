//! Idempotency: an accepted request takes effect once, a refused one leaves nothing.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Service, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_concurrent_duplicates_exactly_one_takes_effect() {
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
async fn of_concurrent_duplicate_changes_exactly_one_takes_effect() {
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
async fn the_key_is_the_tenants_whatever_the_method_and_path() {
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
async fn a_refused_request_leaves_its_id_free() {
    let service = Service::start().await;
    let stranger = "019aa5c8-7d40-7c1e-b3a2-5f0e6d1c2b3a";
    let refused = [
        (service.post("/customers", json!({ "name": "" })), 400),
        (service.post("/customers", json!({ "name": "x" })).without("Authorization"), 401),
        (service.post("/customers", json!({ "name": "x" })).claims(json!({ "scope": "crm:read" })), 403),
        (service.post("/customers", json!({ "name": "x" })).header("Content-Type", "text/plain"), 415),
        (service.patch(&format!("/customers/{stranger}"), json!({ "name": "x" })), 404),
        (service.post("/contacts", json!({ "name": "x", "customerId": stranger })), 400),
    ];
    for (call, status) in refused {
        call.request_id("again").send().await.expect(status);
    }
    service.post("/customers", json!({ "name": "x" })).request_id("again").send().await.expect(201);
}

#[tokio::test]
async fn a_duplicate_is_told_before_existence_and_references_are_looked_at_and_after_the_body() {
    let service = Service::start().await;
    let stranger = "019aa5c8-7d40-7c1e-b3a2-5f0e6d1c2b3a";
    service.post("/customers", json!({ "name": "x" })).request_id("used").send().await.expect(201);
    let body = json!({ "name": "x", "customerId": stranger });
    service.post("/contacts", body).request_id("used").send().await.expect(409);
    for id in [stranger, "malformed"] {
        service.patch(&format!("/customers/{id}"), json!({})).request_id("used").send().await.expect(409);
    }
    service.post("/customers", json!({ "name": "" })).request_id("used").send().await.expect(400);
}

#[tokio::test]
async fn a_duplicate_names_the_resource_even_after_it_was_deleted() {
    let service = Service::start().await;
    let reply = service.post("/customers", json!({ "name": "x" })).request_id("used").send().await.expect(201);
    let customer = id(&reply.body, "customerId");
    service.delete(&format!("/customers/{customer}")).send().await.expect(204);
    let again = service.post("/customers", json!({ "name": "x" })).request_id("used").send().await.expect(409);
    assert_eq!(again.header("Location"), reply.header("Location"));
}

#[tokio::test]
async fn a_delete_neither_needs_nor_spends_a_request_id() {
    let service = Service::start().await;
    let (one, other) = (service.customer().await, service.customer().await);
    service.delete(&format!("/customers/{one}")).request_id("kept").send().await.expect(204);
    service.delete(&format!("/customers/{other}")).request_id("kept").send().await.expect(204);
    service.post("/customers", json!({ "name": "x" })).request_id("kept").send().await.expect(201);
    service.get("/customers").request_id("kept").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_that_hangs_up_leaves_all_or_nothing_and_does_not_block_the_door() {
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
            assert_eq!(service.read(&path).await["name"], "gone", "a key without its effect");
        } else {
            again.expect(201);
        }
    }
    assert_eq!(service.read("/customers").await["total"], 39, "an effect without its key");
}
