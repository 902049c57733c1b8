//! What a token says must be plausible, and say one thing only (RFC 7519, RFC 8725).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::{FAR_FUTURE, SECRET, START, Service, token};

const NOW: i64 = START / 1000;

/// A token signed by HS256, of a header and a payload written by hand.
fn sign(header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn payload() -> String {
    format!(r#"{{"sub":"tester","exp":{}}}"#, NOW + 60)
}

async fn accepted(service: &Service, token: &str) {
    service.get("/customers").token(token).send().await.expect(200);
}

async fn refused(service: &Service, token: &str, details: &str) {
    service.get("/customers").token(token).send().await.refused(401, details);
}

#[tokio::test]
async fn the_type_of_a_token_is_absent_or_that_of_a_token() {
    let service = Service::start().await;
    for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/JWT"] {
        accepted(&service, &sign(&format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#), &payload())).await;
    }
    accepted(&service, &sign(r#"{"alg":"HS256"}"#, &payload())).await;
    for typ in [r#""secevent+jwt""#, r#""dpop+jwt""#, r#""logout+jwt""#, r#""""#, "7", "null", r#"["JWT"]"#] {
        refused(&service, &sign(&format!(r#"{{"alg":"HS256","typ":{typ}}}"#), &payload()), "typ must be").await;
    }
}

#[tokio::test]
async fn a_name_that_stands_twice_is_refused_in_header_and_payload() {
    let service = Service::start().await;
    for header in [
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","x":1,"x":2}"#,
        r#"{"alg":"HS256","\u0061lg":"HS256"}"#,
    ] {
        refused(&service, &sign(header, &payload()), "has a name twice").await;
    }
    let exp = NOW + 60;
    for payload in [
        format!(r#"{{"sub":"a","sub":"b","exp":{exp}}}"#),
        format!(r#"{{"exp":{exp},"exp":1}}"#),
        format!(r#"{{"exp":{exp},"tenant_id":"a","tenant_\u0069d":"b"}}"#),
        format!(r#"{{"exp":{exp},"org":{{"id":1,"id":2}}}}"#),
        format!(r#"[{{"exp":{exp}}}]"#),
        format!(r#"{{"exp":{exp}}} "#) + "x",
    ] {
        refused(&service, &sign(r#"{"alg":"HS256"}"#, &payload), "has a claim twice").await;
    }
}

#[tokio::test]
async fn instants_must_be_plausible_and_a_token_not_from_the_future() {
    let service = Service::start().await;
    accepted(&service, &token(json!({ "exp": FAR_FUTURE }))).await;
    for exp in ["1e300", "-1", "253402300800", "1e999", "true"] {
        let payload = format!(r#"{{"exp":{exp}}}"#);
        let reply = service.get("/customers").token(&sign(r#"{"alg":"HS256"}"#, &payload)).send().await;
        reply.expect(401);
    }
    accepted(&service, &token(json!({ "iat": NOW + 59 }))).await;
    refused(&service, &token(json!({ "iat": NOW + 62 })), "issued in the future").await;
    refused(&service, &token(json!({ "iat": NOW + 315_360_000 })), "issued in the future").await;
}

#[tokio::test]
async fn a_token_may_be_held_to_a_greatest_age() {
    let service = Service::with(&[("CRM_JWT_MAX_AGE", "1h")]).await;
    refused(&service, &token(json!({})), "has no claim iat").await;
    refused(&service, &token(json!({ "iat": NOW - 3660 })), "is too old").await;
    let young = token(json!({ "iat": NOW - 3600, "exp": FAR_FUTURE }));
    accepted(&service, &young).await;
    service.advance(61_000);
    refused(&service, &young, "is too old").await;
}

#[tokio::test]
async fn who_acts_has_a_name_that_can_be_stored_and_read() {
    let service = Service::start().await;
    for claim in ["sub", "client_id", "azp"] {
        accepted(&service, &token(json!({ claim: "名".repeat(255) }))).await;
        for name in [
            "x".repeat(256),
            "a\u{200b}b".to_owned(),
            "a\u{202e}b".to_owned(),
            "a\u{ad}b".to_owned(),
            "a\nb".to_owned(),
        ] {
            refused(&service, &token(json!({ claim: name })), &format!("the claim {claim} must be")).await;
        }
    }
}

#[tokio::test]
async fn a_token_longer_than_8_kib_is_431_and_counted() {
    let service = Service::start().await;
    let padded = |padding: usize| token(json!({ "padding": "x".repeat(padding) }));
    let fits = (0..6200).rev().map(padded).find(|token| token.len() <= 8192).unwrap();
    accepted(&service, &fits).await;
    let nested = format!(r#"{{"alg":"HS256","x":[{}]}}"#, ["[[1]]"; 56_000].join(","));
    let deep = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(nested));
    assert!(deep.len() > 377_000);
    for long in [padded(6200), "x".repeat(8193), deep] {
        let reply = service.get("/customers").token(&long).send().await;
        let reply = reply.refused(431, "Authorization: the token must not be longer than 8192 bytes");
        assert_eq!(reply.body["code"], "HEADERS_TOO_LARGE");
    }
    assert!(service.app.metrics().text().contains("crm_http_refused_total{limit=\"token_size\"} 3"));
}

#[tokio::test]
async fn a_header_or_payload_that_nests_deeply_is_refused() {
    let service = Service::start().await;
    let brackets = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [15, 16, 500, 2000] {
        let (header, claims) = (
            format!(r#"{{"alg":"HS256","x":{}}}"#, brackets(depth)),
            format!(r#"{{"exp":{},"x":{}}}"#, NOW + 60, brackets(depth)),
        );
        let tokens = [sign(&header, &payload()), sign(r#"{"alg":"HS256"}"#, &claims)];
        for token in tokens {
            let expected = if depth == 15 { 200 } else { 401 };
            service.get("/customers").token(&token).send().await.expect(expected);
        }
    }
    // Brackets in a text are no nesting, and a header of many members is none either.
    accepted(&service, &sign(&format!(r#"{{"alg":"HS256","x":"\"{}"}}"#, "[".repeat(100)), &payload())).await;
    let many: Vec<String> = (0..40).map(|number| format!(r#""x{number}":1"#)).collect();
    refused(&service, &sign(&format!(r#"{{"alg":"HS256",{}}}"#, many.join(",")), &payload()), "header is malformed")
        .await;
}

#[tokio::test]
async fn the_tenant_claim_has_the_configured_name() {
    for (name, claims) in [
        ("tid", json!({ "tid": "acme" })),
        ("org.id", json!({ "org": { "id": ["acme"] } })),
        ("https://acme.example/tenant", json!({ "https://acme.example/tenant": "acme" })),
        ("a.b.c", json!({ "a": { "b": { "c": "acme" } } })),
    ] {
        let service = Service::with(&[("CRM_TENANT_CLAIM", name)]).await;
        let call = || service.get("/customers").claims(claims.clone());
        call().send().await.expect(200);
        call().tenant("acme").send().await.expect(200);
        call().tenant("other").send().await.expect(403);
        service.get("/customers").claims(json!({ "tenant_id": "acme" })).tenant("other").send().await.expect(200);
    }
    let service = Service::with(&[("CRM_TENANT_CLAIM", "org.id")]).await;
    service
        .get("/customers")
        .claims(json!({ "org": { "id": 7 } }))
        .send()
        .await
        .refused(401, "the claim org.id must be");
}

#[tokio::test]
async fn with_tenancy_by_token_one_that_names_no_tenant_is_403() {
    let service = Service::with(&[("CRM_TENANCY", "token")]).await;
    for claims in [json!({}), json!({ "tid": "acme" }), json!({ "tenantId": "acme" }), json!({ "org_id": "acme" })] {
        let call = || service.get("/customers").claims(claims.clone());
        call().send().await.refused(403, "the token names no tenant");
        call().tenant("acme").send().await.refused(403, "the token names no tenant");
    }
    service.get("/customers").claims(json!({ "tenant_id": "acme" })).send().await.expect(200);
}

#[tokio::test]
async fn a_token_without_a_tenant_leaves_nothing_in_anybodys_trail() {
    for variables in [&[][..], &[("CRM_TENANCY", "token")]] {
        let service = Service::with(variables).await;
        let claims: Value = match variables {
            [] => json!({ "tenant_id": [] }),
            _ => json!({}),
        };
        service.get("/customers").claims(claims.clone()).send().await.expect(403);
        service.post("/customers", json!({ "name": "x" })).claims(claims).tenant("victim").send().await.expect(403);
        while service.app.audit_queue().flush(service.app.database()).await.unwrap() > 0 {}
        for tenant in ["default", "victim"] {
            let auditor = json!({ "tenant_id": tenant, "scope": "crm:audit:read" });
            let trail = service.get("/audit-logs").claims(auditor).send().await.expect(200).body;
            assert_eq!(trail["total"], 0, "{tenant}: {trail}");
        }
    }
}
