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
    let resource = json!({ "type": "customer", "id": made[0].body["customerId"] });
    for reply in refused {
        let reply = reply.expect(409);
        assert_eq!((reply.header("Location"), &reply.body["resource"]), (location.as_str(), &resource));
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
async fn a_duplicate_names_the_resource_of_the_first_request_whatever_it_asks_for() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let opportunity = service.opportunity(&customer).await;
    let follow_up = service.follow_up(json!({ "content": "x", "customerId": customer })).await;
    let first = [
        (service.patch(&format!("/customers/{customer}"), json!({ "name": "y" })), "customer", &customer, "customers"),
        (
            service.patch(&format!("/opportunities/{opportunity}"), json!({})),
            "opportunity",
            &opportunity,
            "opportunities",
        ),
        (service.patch(&format!("/follow-ups/{follow_up}"), json!({})), "followUp", &follow_up, "follow-ups"),
        (service.post(&format!("/customers/{customer}/erasure"), json!({})), "customer", &customer, "customers"),
    ];
    for (number, (call, kind, id, collection)) in first.into_iter().enumerate() {
        let request_id = format!("first-{number}");
        let reply = call.request_id(&request_id).send().await;
        assert!(reply.status.is_success(), "{}", reply.text);
        let again = service.post("/customers", json!({ "name": "x" })).request_id(&request_id).send().await.expect(409);
        assert_eq!(again.body["resource"], json!({ "type": kind, "id": id }));
        let location = format!("/api/v1/crm/{collection}/{id}");
        assert_eq!(again.header("Location"), location);
        let details = again.body["details"].as_str().unwrap();
        assert!(details.contains(&format!("{kind} {id}")) && details.contains(&location), "{details}");
    }
    let other = service.post("/customers", json!({ "name": "" })).send().await.expect(400);
    assert_eq!(other.body["resource"], json!(null), "only a duplicate is about a resource");
}

#[tokio::test]
async fn a_retry_through_a_proxy_that_replaces_the_request_id_is_applied_once() {
    let service = Service::start().await;
    let path = format!("/customers/{}", service.customer().await);
    for (number, (call, status)) in [
        (service.post("/customers", json!({ "name": "x" })), 201),
        (service.patch(&path, json!({ "name": "y" })), 200),
        (service.post(&format!("{path}/erasure"), json!({})), 201),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("key-{number}");
        let first = call.header("Idempotency-Key", &key).request_id("of-the-proxy").send().await.expect(status);
        assert_eq!(first.header("X-Request-ID"), "of-the-proxy");
        let retry = service.post("/customers", json!({ "name": "z" })).header("Idempotency-Key", &key);
        let retry = retry.request_id("another-of-the-proxy").send().await.refused(409, "Idempotency-Key: already used");
        assert_eq!(retry.body["requestId"], "another-of-the-proxy");
        assert_eq!(service.read(&format!("/requests/{key}")).await["resource"], retry.body["resource"]);
    }
    // It named three requests, and was the key of none.
    service.post("/customers", json!({ "name": "x" })).request_id("of-the-proxy").send().await.expect(201);
    assert_eq!(service.trail("").await.iter().filter(|entry| entry["requestId"] == "of-the-proxy").count(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_concurrent_requests_with_one_key_one_is_201_and_the_rest_409() {
    let service = Service::start().await;
    let call = || service.post("/customers", json!({ "name": "Acme" })).header("Idempotency-Key", "the-same").send();
    let replies = join_all((0..64).map(|_| call())).await;
    let (made, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 201);
    assert_eq!((made.len(), refused.len()), (1, 63));
    for reply in refused {
        assert_eq!(reply.expect(409).body["resource"]["id"], made[0].body["customerId"]);
    }
    assert_eq!(service.read("/customers").await["total"], 1);
}

#[tokio::test]
async fn keys_and_request_ids_share_one_namespace_and_quotes_are_not_part_of_a_key() {
    let service = Service::start().await;
    let post = || service.post("/customers", json!({ "name": "x" }));
    post().request_id("one").send().await.expect(201);
    post().header("Idempotency-Key", "one").send().await.refused(409, "Idempotency-Key: already used");
    post().header("Idempotency-Key", "\"one\"").send().await.refused(409, "Idempotency-Key: already used");
    post().header("Idempotency-Key", "\"two\"").send().await.expect(201);
    post().header("Idempotency-Key", "two").send().await.expect(409);
    post().request_id("two").send().await.refused(409, "X-Request-ID: already used");
    post().header("Idempotency-Key", "one").tenant("other").send().await.expect(201);
    // Inside of quotes, and where the value does not begin with one, a quote is a character like any other.
    for key in ["three\"", "three", "\"\"three\"\"", "\"thr\"ee\"", "thr\\ee"] {
        post().header("Idempotency-Key", key).send().await.expect(201);
    }
    let longest = "~".repeat(128);
    post().header("Idempotency-Key", &format!("\"{longest}\"")).send().await.expect(201);
    post().header("Idempotency-Key", &longest).send().await.expect(409);
}

#[tokio::test]
async fn a_malformed_key_is_400_and_a_key_does_not_replace_the_request_id() {
    let service = Service::start().await;
    let post = || service.post("/customers", json!({ "name": "x" })).request_id("mine");
    let expected = "Idempotency-Key: must be 1 to 128 visible ASCII characters";
    for key in [
        "",
        "\"",
        "\"\"",
        "\"open",
        "two words",
        "\"two words\"",
        &"x".repeat(129),
        &format!("\"{}\"", "x".repeat(129)),
    ] {
        post().header("Idempotency-Key", key).send().await.refused(400, expected);
    }
    post().add_header("Idempotency-Key", "ключ".as_bytes()).send().await.refused(400, expected);
    post().add_header("Idempotency-Key", b"\xff").send().await.refused(400, expected);
    let twice = post().header("Idempotency-Key", "a").add_header("Idempotency-Key", b"a");
    twice.send().await.refused(400, "Idempotency-Key: must be sent once");
    let alone = post().header("Idempotency-Key", "a").without("X-Request-ID");
    alone.send().await.refused(400, "X-Request-ID: is required");
    post().header("Idempotency-Key", "a").request_id("two words").send().await.refused(400, "X-Request-ID: must be");
    // Of an operation that takes no key it says nothing.
    let reply = post().header("Idempotency-Key", "a").send().await.expect(201);
    let path = format!("/customers/{}", id(&reply.body, "customerId"));
    service.get(&path).header("Idempotency-Key", "two words").send().await.expect(200);
    service.delete(&path).header("Idempotency-Key", "a").send().await.expect(204);
    post().send().await.expect(201);
}

#[tokio::test]
async fn a_refused_request_does_not_use_up_its_id() {
    let service = Service::start().await;
    let path = format!("/customers/{}", service.customer().await);
    let refused = [
        (service.post("/customers", json!({ "name": "" })), 400),
        (service.post("/customers", json!({ "name": "x" })).without("Authorization"), 401),
        (service.post("/customers", json!({ "name": "x" })).claims(json!({ "scope": "crm:read" })), 403),
        (service.post("/customers", json!({ "name": "x" })).header("Content-Type", "text/plain"), 415),
        (service.patch(&format!("/customers/{UNKNOWN_ID}"), json!({ "name": "x" })), 404),
        (service.post("/contacts", json!({ "name": "x", "customerId": UNKNOWN_ID })), 400),
        (service.patch(&path, json!({ "name": "y" })).header("If-Match", "\"0\""), 412),
        (service.patch(&path, json!({ "name": "y" })).header("If-Match", "0"), 400),
    ];
    for (call, status) in refused {
        call.request_id("again").send().await.expect(status);
        service.get("/requests/again").send().await.expect(404);
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
