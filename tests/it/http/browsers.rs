//! What browsers are told: what not to do with a reply, and which other origins' pages may read it.

use poem::http::Method;
use serde_json::json;

use crate::harness::{Call, Reply, Service};

const OURS: &str = "https://app.example.com";

#[tokio::test]
async fn a_reply_is_neither_kept_nor_guessed_at_nor_framed() {
    let service = Service::start().await;
    let customer = service.customer().await;
    // What has a version may be kept by the client alone, who asks each time whether it is the current one.
    const OWN: &str = "private, no-cache";
    let calls: [(Call<'_>, u16, &str); 7] = [
        (service.get(&format!("/customers/{customer}")), 200, OWN),
        (service.get(&format!("/customers/{customer}")).header("If-None-Match", "*"), 304, OWN),
        (service.get("/customers"), 200, "no-store"),
        (service.get("/customers").without("Authorization"), 401, "no-store"),
        (service.get("/nowhere"), 404, "no-store"),
        (service.get("/health"), 200, "no-store"),
        (service.delete(&format!("/customers/{customer}")), 204, "no-store"),
    ];
    for (call, status, cache) in calls {
        let reply = call.send().await.expect(status);
        assert_eq!(reply.header("X-Content-Type-Options"), "nosniff");
        assert_eq!(reply.header("Cache-Control"), cache);
        assert_eq!(reply.header("Content-Security-Policy"), "default-src 'none'; frame-ancestors 'none'");
    }
    let page = service.get("/docs").send_unchecked().await.expect(200);
    let policy = page.header("Content-Security-Policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self' 'sha256-"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!((page.header("X-Content-Type-Options"), page.header("Cache-Control")), ("nosniff", "no-cache"));
}

fn preflight<'s>(service: &'s Service, origin: &str) -> Call<'s> {
    service
        .call(Method::OPTIONS, "/customers")
        .without("Authorization")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "authorization,x-request-id")
}

fn allowed(reply: &Reply) -> &str {
    reply.header("Access-Control-Allow-Origin")
}

#[tokio::test]
async fn no_page_of_another_origin_may_read_unless_configured() {
    let service = Service::start().await;
    preflight(&service, OURS).send().await.expect(405);
    let reply = service.get("/customers").header("Origin", OURS).send().await.expect(200);
    assert_eq!((allowed(&reply), reply.header("Vary")), ("", ""));
}

#[tokio::test]
async fn pages_of_configured_origins_may_and_of_others_may_not() {
    let service = Service::with(&[("CRM_CORS_ORIGINS", "https://app.example.com, http://localhost:3000")]).await;
    for origin in [OURS, "http://localhost:3000"] {
        let reply = preflight(&service, origin).send_unchecked().await.expect(204);
        assert_eq!(allowed(&reply), origin);
        assert_eq!(reply.header("Access-Control-Allow-Methods"), "GET, HEAD, POST");
        let headers = reply.header("Access-Control-Allow-Headers").to_lowercase();
        let conditions = ["if-match", "if-none-match", "idempotency-key"];
        let others = ["authorization", "content-type", "x-request-id", "x-tenant-id", "traceparent"];
        for header in conditions.into_iter().chain(others) {
            assert!(headers.split(", ").any(|one| one == header), "{headers}");
        }
        assert!(!reply.header("X-Response-Time").is_empty() && reply.header("Vary").contains("Origin"));
        // Errors too: a page that may not read why it was refused cannot tell.
        for (call, status) in [
            (service.post("/customers", json!({ "name": "x" })), 201),
            (service.post("/customers", json!({})), 400),
            (service.get("/customers").without("Authorization"), 401),
        ] {
            let reply = call.header("Origin", origin).send().await.expect(status);
            assert_eq!(allowed(&reply), origin);
            let exposed = reply.header("Access-Control-Expose-Headers");
            for header in ["Location", "ETag", "X-Request-ID", "traceparent", "Retry-After"] {
                assert!(exposed.split(", ").any(|one| one == header), "{exposed}");
            }
        }
    }
    for origin in ["https://evil.example.com", "https://app.example.com.evil.com", "http://app.example.com", "null"] {
        preflight(&service, origin).send().await.expect(405);
        let reply = service.get("/customers").header("Origin", origin).send().await.expect(200);
        assert_eq!((allowed(&reply), reply.header("Vary")), ("", "Origin"));
    }
    let nowhere = service.call(Method::OPTIONS, "/nowhere").header("Origin", OURS);
    nowhere.header("Access-Control-Request-Method", "GET").send().await.expect(404);
}

#[tokio::test]
async fn any_origin_may_where_that_is_configured_without_credentials() {
    let service = Service::with(&[("CRM_CORS_ORIGINS", "*")]).await;
    let reply = preflight(&service, "https://anything.example").send_unchecked().await.expect(204);
    assert_eq!((allowed(&reply), reply.header("Access-Control-Allow-Credentials")), ("*", ""));
}
