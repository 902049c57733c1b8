//! What a token may do, by its scopes.

use serde_json::{Value, json};

use crate::harness::{Call, Service, id};

/// What a token with these claims may do: read, write, read the trail.
async fn may(service: &Service, claims: &Value) -> (bool, bool, bool) {
    let status = async |call: Call<'_>| call.claims(claims.clone()).send().await.status.as_u16();
    let allowed = |status: u16| match status {
        200 | 201 => true,
        403 => false,
        other => panic!("{other} for {claims}"),
    };
    (
        allowed(status(service.get("/customers")).await),
        allowed(status(service.post("/customers", json!({ "name": "x" }))).await),
        allowed(status(service.get("/audit-logs")).await),
    )
}

#[tokio::test]
async fn scopes_are_read_in_every_usual_form_and_limit_in_any_case() {
    let service = Service::start().await;
    for (claims, expected) in [
        (json!({}), (true, true, false)),
        (json!({ "scope": "openid profile" }), (true, true, false)),
        (json!({ "scope": "hr:read" }), (true, true, false)),
        (json!({ "scope": "" }), (true, true, false)),
        (json!({ "scp": [] }), (true, true, false)),
        (json!({ "scope": "crm:read" }), (true, false, false)),
        (json!({ "scope": ["crm:read", "openid"] }), (true, false, false)),
        (json!({ "scope": ["openid crm:write"] }), (false, true, false)),
        (json!({ "scope": "openid,crm:read" }), (true, false, false)),
        (json!({ "scp": ["openid,crm:read"] }), (true, false, false)),
        (json!({ "scp": "crm:read\tcrm:write" }), (true, true, false)),
        (json!({ "scope": "crm:read", "scp": ["crm:write"] }), (true, true, false)),
        (json!({ "scope": "crm:audit:read" }), (false, false, true)),
        (json!({ "scope": "CRM:READ" }), (false, false, false)),
        (json!({ "scope": "Crm:read openid" }), (false, false, false)),
        (json!({ "scope": "crm:unknown" }), (false, false, false)),
        (json!({ "scope": "crm:" }), (false, false, false)),
    ] {
        assert_eq!(may(&service, &claims).await, expected, "{claims}");
    }
}

#[tokio::test]
async fn where_scopes_are_required_a_token_without_may_do_nothing() {
    let service = Service::with(&[("CRM_SCOPES", "required")]).await;
    for (claims, expected) in [
        (json!({}), (false, false, false)),
        (json!({ "scope": "openid hr:read" }), (false, false, false)),
        (json!({ "scope": "crm:read" }), (true, false, false)),
        (json!({ "scope": "crm:read crm:write crm:audit:read" }), (true, true, true)),
    ] {
        assert_eq!(may(&service, &claims).await, expected, "{claims}");
    }
}

#[tokio::test]
async fn a_refusal_says_which_scope_is_missing() {
    let service = Service::start().await;
    let refused = service.get("/audit-logs").claims(json!({})).send().await.refused(403, "crm:audit:read");
    assert_eq!(refused.header("WWW-Authenticate"), r#"Bearer error="insufficient_scope", scope="crm:audit:read""#);
    let foreign = service.get("/customers").claims(json!({ "tenant_id": "a" })).tenant("b").send().await.expect(403);
    assert_eq!(foreign.header("WWW-Authenticate"), "", "no scope is missing");
}

#[tokio::test]
async fn the_challenge_says_why_and_quotes_nothing() {
    let service = Service::start().await;
    let challenge = async |value: &str| {
        let reply = service.get("/customers").header("Authorization", value).send().await.expect(401);
        reply.header("WWW-Authenticate").to_owned()
    };
    let none = service.get("/customers").without("Authorization").send().await.expect(401);
    assert_eq!(none.header("WWW-Authenticate"), "Bearer");
    assert_eq!(challenge("Basic eDp5").await, "Bearer");
    let canary = challenge("Bearer canary").await;
    assert!(canary.starts_with(r#"Bearer error="invalid_token", error_description=""#) && !canary.contains("canary"));
}

#[tokio::test]
async fn whoever_may_only_write_reads_nothing_by_it() {
    let service = Service::start().await;
    let writer = json!({ "scope": "crm:write crm:pii:read" });
    let body = json!({ "name": "x", "contactPhone": "13812345678" });
    let made = service.post("/customers", body).claims(writer.clone()).send().await.expect(201).body;
    assert_eq!(made["contactPhone"], "138****5678");
    let path = format!("/customers/{}", id(&made, "customerId"));
    let changed = service.patch(&path, json!({ "name": "y" })).claims(writer.clone()).send().await.expect(200).body;
    assert_eq!(changed["contactPhone"], "138****5678");
    for nothing in ["{}", " {\n}\t"] {
        let call = service.patch(&path, json!({})).body(nothing).claims(writer.clone());
        let refused = call.send().await.refused(403, "the token lacks the scope crm:read");
        assert!(refused.header("WWW-Authenticate").contains("scope=\"crm:read\""));
    }
    service.patch(&path, json!({})).claims(json!({ "scope": "crm:write crm:read" })).send().await.expect(200);
    service.patch(&path, json!({})).claims(json!({})).send().await.expect(200);
}
