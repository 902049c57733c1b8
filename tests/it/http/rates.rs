//! Rates of requests: of a tenant, of a caller, and none where none is configured.

use serde_json::json;

use crate::harness::{FAR_FUTURE, SECRET, Service, sign_hs256};

#[tokio::test]
async fn without_a_rate_nothing_is_counted() {
    let service = Service::start().await;
    for _ in 0..50 {
        let reply = service.get("/customers").send().await.expect(200);
        assert_eq!((reply.header("RateLimit"), reply.header("RateLimit-Policy")), ("", ""));
    }
}

#[tokio::test]
async fn a_tenant_beyond_its_rate_is_429_and_others_go_on() {
    let service = Service::with(&[("CRM_TENANT_RATE", "5/m")]).await;
    for left in (0..5).rev() {
        let reply = service.get("/customers").tenant("a").send().await.expect(200);
        assert_eq!(reply.header("RateLimit-Policy"), r#""tenant";q=5;w=60"#);
        let limit = reply.header("RateLimit");
        assert!(limit.starts_with(&format!(r#""tenant";r={left};t="#)), "{limit}");
    }
    // Whatever it asks for, and whoever asks.
    for call in [service.get("/customers"), service.get("/events"), service.post("/customers", json!({ "name": "x" }))]
    {
        let reply = call.tenant("a").claims(json!({ "sub": "somebody else" })).send().await.refused(429, "5 requests");
        let wait: u64 = reply.header("Retry-After").parse().unwrap();
        assert!((1..=12).contains(&wait), "{wait}");
        assert_eq!(reply.header("RateLimit"), format!(r#""tenant";r=0;t={wait}"#));
    }
    service.get("/customers").tenant("b").send().await.expect(200);
    for _ in 0..20 {
        service.get("/health").without("Authorization").send().await.expect(200);
    }
    let counted = r#"crm_http_refused_total{limit="tenant_rate"} 3"#;
    assert!(service.app.metrics().text().contains(counted), "{}", service.app.metrics().text());
}

#[tokio::test]
async fn a_caller_is_held_to_its_rate_in_all_tenants_together() {
    let service = Service::with(&[("CRM_CALLER_RATE", "3/m"), ("CRM_TENANT_RATE", "100/m")]).await;
    let call = |sub: &str, tenant: &str| service.get("/customers").claims(json!({ "sub": sub })).tenant(tenant);
    for tenant in ["a", "b", "c"] {
        let reply = call("one", tenant).send().await.expect(200);
        assert_eq!(reply.header("RateLimit-Policy"), r#""caller";q=3;w=60, "tenant";q=100;w=60"#);
    }
    call("one", "d").send().await.refused(429, "the caller may send 3 requests per minute");
    call("another", "a").send().await.expect(200);
}

#[tokio::test]
async fn one_name_in_two_tenants_is_two_callers_and_none_is_one() {
    let service = Service::with(&[("CRM_CALLER_RATE", "2/m")]).await;
    let call = |claims: &serde_json::Value| service.get("/customers").token(&sign_hs256(claims, SECRET)).send();
    for tenant in ["a", "b"] {
        let named = json!({ "exp": FAR_FUTURE, "sub": "service", "tenant_id": tenant });
        let nameless = json!({ "exp": FAR_FUTURE, "tenant_id": tenant });
        for claims in [named, nameless] {
            call(&claims).await.expect(200);
            call(&claims).await.expect(200);
            call(&claims).await.refused(429, "the caller may send 2 requests");
        }
    }
}

#[tokio::test]
async fn refused_requests_count_and_those_without_a_valid_token_do_not() {
    let service = Service::with(&[("CRM_TENANT_RATE", "3/m")]).await;
    for _ in 0..10 {
        service.get("/customers").token("x.y.z").send().await.expect(401);
    }
    for _ in 0..3 {
        service.get("/customers").claims(json!({ "scope": "crm:write" })).send().await.expect(403);
    }
    service.get("/customers").claims(json!({ "scope": "crm:write" })).send().await.expect(429);
    // A header alone spends nothing of a tenant that the token does not name.
    for _ in 0..5 {
        service.get("/customers").claims(json!({ "tenant_id": "a" })).tenant("victim").send().await;
    }
    service.get("/customers").tenant("victim").send().await.expect(200);
}
