//! Tenants: which one a request belongs to, and their isolation.

use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::harness::{Call, Service};

async fn tenant_of(call: Call<'_>) -> String {
    call.send().await.expect(201).body["tenantId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_tenant_comes_from_header_then_token_then_default() {
    let service = Service::with(&[("CRM_DEFAULT_TENANT", "house")]).await;
    let post = || service.post("/customers", json!({ "name": "x" }));
    assert_eq!(tenant_of(post()).await, "house");
    assert_eq!(tenant_of(post().tenant("acme")).await, "acme");
    assert_eq!(tenant_of(post().claims(json!({ "tenant_id": "own" }))).await, "own");
    assert_eq!(tenant_of(post().claims(json!({ "tenant_id": ["own"] }))).await, "own");
    assert_eq!(tenant_of(post().claims(json!({ "tenant_id": ["a", "b"] })).tenant("b")).await, "b");
}

#[tokio::test]
async fn a_tenant_that_the_token_does_not_name_is_403() {
    let service = Service::start().await;
    for (tenants, header) in [(json!("a"), "b"), (json!(["a", "b"]), "c"), (json!([]), "a"), (json!("a"), "A")] {
        let call = service.get("/customers").claims(json!({ "tenant_id": tenants })).tenant(header);
        call.send().await.refused(403, "X-Tenant-Id: the token does not name this tenant");
    }
    let several = service.get("/customers").claims(json!({ "tenant_id": ["a", "b"] }));
    several.send().await.refused(400, "X-Tenant-Id: is required");
    service.get("/customers").claims(json!({ "tenant_id": [] })).send().await.refused(403, "names no tenant");
    service.get("/customers").claims(json!({ "tenant_id": "no such name" })).send().await.expect(401);
}

#[tokio::test]
async fn a_malformed_or_repeated_tenant_header_is_400() {
    let service = Service::start().await;
    for malformed in ["", "a b", "a/b", "a,b", &"x".repeat(65)] {
        service.get("/customers").tenant(malformed).send().await.refused(400, "X-Tenant-Id: must be 1 to 64");
    }
    for bytes in [&b"\xff"[..], "é".as_bytes()] {
        let call = service.get("/customers").add_header("X-Tenant-Id", bytes);
        call.send().await.refused(400, "X-Tenant-Id: must be 1 to 64");
    }
    let twice = service.get("/customers").tenant("a").add_header("X-Tenant-Id", b"a");
    twice.send().await.refused(400, "X-Tenant-Id: must be sent once");
    service.get("/customers").tenant(&"x".repeat(64)).send().await.expect(200);
    service.get("/customers").tenant("A-Z.a_z-0.9").send().await.expect(200);
}

#[tokio::test]
async fn equal_ids_of_two_tenants_are_different_resources() {
    let service = Service::start().await;
    let database = service.database.connect().await;
    let customer = service.customer().await;
    let copy = "INSERT INTO customers (tenant_id, customer_id, name, status, created_at, updated_at) \
                SELECT 'twin', customer_id, 'Twin', status, created_at, updated_at FROM customers";
    database.execute_unprepared(copy).await.unwrap();
    let path = format!("/customers/{customer}");
    service.patch(&path, json!({ "name": "changed" })).send().await.expect(200);
    let twin = service.get(&path).tenant("twin").send().await.expect(200).body;
    assert_eq!((&twin["name"], &twin["tenantId"]), (&json!("Twin"), &json!("twin")));
    service.delete(&path).send().await.expect(204);
    service.get(&path).tenant("twin").send().await.expect(200);
}
