//! The platform away: what was known holds for a while, everything else is 503, and nothing is ever accepted for want of an
//! answer.

use serde_json::json;

use super::keys::{claims, service, status};
use crate::harness::{
    FAR_FUTURE, Service,
    platform::{Behaviour, Platform, SigningKey, jwks},
};

#[tokio::test]
async fn known_keys_hold_for_the_grace_and_unknown_ones_are_503() {
    let mut platform = Platform::start().await;
    let key = SigningKey::new("ec", "known");
    platform.at("/jwks", Behaviour::Json(jwks(&[&key])));
    let service = service(&platform, &[("CRM_AUTH_GRACE", "1h")]).await;
    let claims = json!({ "sub": "tester", "exp": FAR_FUTURE });
    let cached = key.sign(&claims);
    assert_eq!(status(&service, &cached).await, 200);
    platform.go_away().await;

    service.advance(3_500_000);
    assert!(service.app.tokens().keep_fresh().await.is_err());
    assert_eq!(status(&service, &cached).await, 200);
    assert_eq!(status(&service, &key.sign(&json!({ "sub": "new", "exp": FAR_FUTURE }))).await, 200);
    let unknown = SigningKey::new("ec", "unknown").sign(&claims);
    let away = service.get("/customers").token(&unknown).send().await.expect(503);
    assert_eq!(away.header("Retry-After"), "1");
    // Known is known, also without the platform.
    assert_eq!(status(&service, &SigningKey::new("rsa", "known").sign(&claims)).await, 401);

    service.advance(200_000);
    for token in [&cached, &unknown] {
        assert_eq!(status(&service, token).await, 503);
    }
    assert_eq!(service.get("/health").send().await.status, 200);

    platform.come_back().await;
    service.advance(10_000);
    assert_eq!(status(&service, &cached).await, 200);
    assert_eq!(status(&service, &unknown).await, 401);
}

#[tokio::test]
async fn a_service_that_starts_without_the_platform_answers_503_until_it_is_there() {
    let mut platform = Platform::start().await;
    platform.go_away().await;
    let key = SigningKey::new("ed", "one");
    let service = service(&platform, &[]).await;
    let token = key.sign(&claims());
    assert_eq!(status(&service, &token).await, 503);
    service.get("/customers").token("no.jwt").send().await.expect(401);
    service.get("/health").send().await.expect(200);
    platform.at("/jwks", Behaviour::Json(jwks(&[&key])));
    platform.come_back().await;
    service.advance(10_000);
    assert_eq!(status(&service, &token).await, 200);
}

#[tokio::test]
async fn a_discovery_that_answers_does_not_hide_that_the_keys_are_away() {
    let platform = Platform::start().await;
    let key = SigningKey::new("ed", "one");
    let issuer = platform.url("/realm");
    let document = json!({ "issuer": issuer, "jwks_uri": platform.url("/keys") });
    platform.at("/realm/.well-known/openid-configuration", Behaviour::Json(document));
    platform.at("/keys", Behaviour::Close);
    let service = Service::with(&[("CRM_JWT_SECRET", ""), ("CRM_OIDC_ISSUER", &issuer)]).await;
    let token = key.sign(&json!({ "iss": issuer, "exp": FAR_FUTURE }));
    for _ in 0..5 {
        assert_eq!(status(&service, &token).await, 503);
    }
    assert_eq!(platform.received("/keys").len(), 5);
    assert!(service.app.metrics().text().contains("crm_auth_breaker_open{endpoint=\"keys\"} 1"));
    platform.at("/keys", Behaviour::Json(jwks(&[&key])));
    service.advance(10_000);
    assert_eq!(status(&service, &token).await, 200);
    // Where they are is remembered.
    let discovered = platform.received("/realm/.well-known/openid-configuration").len();
    service.advance(300_000);
    service.app.tokens().keep_fresh().await.unwrap();
    assert_eq!(platform.received("/realm/.well-known/openid-configuration").len(), discovered);
    assert_eq!(platform.received("/keys").len(), 7);
}

#[tokio::test]
async fn answers_that_hold_no_keys_change_nothing() {
    let platform = Platform::start().await;
    let key = SigningKey::new("ed", "one");
    platform.at("/jwks", Behaviour::Json(jwks(&[&key])));
    let service = service(&platform, &[]).await;
    let token = key.sign(&claims());
    assert_eq!(status(&service, &token).await, 200);
    let redirect = format!("Location: {}\r\n", platform.url("/elsewhere"));
    platform.at("/elsewhere", Behaviour::Json(json!({ "keys": [] })));
    for wrong in [
        Behaviour::Reply("500 Internal Server Error", String::new(), jwks(&[&key]).to_string()),
        Behaviour::Reply("302 Found", redirect, String::new()),
        Behaviour::Reply("200 OK", String::new(), "<html>".to_owned()),
        Behaviour::Json(json!([])),
        Behaviour::Json(json!({ "keys": {} })),
        Behaviour::Huge(300_000),
        Behaviour::HalfABody,
        Behaviour::Close,
    ] {
        platform.at("/jwks", wrong.clone());
        service.advance(300_000);
        assert!(service.app.tokens().keep_fresh().await.is_err(), "{wrong:?}");
        assert_eq!(status(&service, &token).await, 200, "{wrong:?}");
    }
    assert!(platform.received("/elsewhere").is_empty(), "a redirect was followed");
    platform.at("/jwks", Behaviour::Json(jwks(&[&key])));
    service.advance(10_000);
    service.app.tokens().keep_fresh().await.unwrap();
}

#[tokio::test]
async fn after_five_failures_the_platform_is_asked_only_now_and_then() {
    let platform = Platform::start().await;
    let url = platform.url("/introspect");
    let service = Service::with(&[("CRM_JWT_SECRET", ""), ("PLATFORM_AUTH_URL", &url)]).await;
    platform.at("/introspect", Behaviour::Reply("503 Service Unavailable", String::new(), String::new()));
    let asked = || platform.received("/introspect").len();
    for number in 0..20 {
        assert_eq!(status(&service, &format!("token{number}")).await, 503);
    }
    assert_eq!(asked(), 5);
    let metrics = service.app.metrics().text();
    assert!(metrics.contains("crm_auth_breaker_open{endpoint=\"introspection\"} 1"), "{metrics}");
    assert!(metrics.contains("crm_auth_refusals_total{reason=\"unavailable\"} 20"), "{metrics}");

    // One question a second tells whether it is back.
    service.advance(1100);
    assert_eq!(status(&service, "token0").await, 503);
    assert_eq!(status(&service, "token1").await, 503);
    assert_eq!(asked(), 6);
    platform.at("/introspect", Behaviour::Json(json!({ "active": true })));
    assert_eq!(status(&service, "token0").await, 503, "it was asked although it counts as away");
    service.advance(5100);
    assert_eq!(status(&service, "token0").await, 200);
    assert_eq!(status(&service, "token1").await, 200);
    assert!(service.app.metrics().text().contains("crm_auth_breaker_open{endpoint=\"introspection\"} 0"));
}
