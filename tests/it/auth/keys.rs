//! The platform's keys (RFC 7517): found by name, fetched once for however many tokens, followed through their rotation.

use futures_util::future::join_all;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::harness::{
    START, Service,
    platform::{Behaviour, Platform, SigningKey, jwks},
};

pub fn claims() -> Value {
    json!({ "sub": "tester", "exp": START / 1000 + 86_400 })
}

/// A service that fetches its keys from the platform.
pub async fn service(platform: &Platform, more: &[(&str, &str)]) -> Service {
    let url = platform.url("/jwks");
    let mut variables = vec![("CRM_JWT_SECRET", ""), ("CRM_JWKS_URL", url.as_str())];
    variables.extend(more);
    Service::with(&variables).await
}

pub async fn status(service: &Service, token: &str) -> u16 {
    service.get("/customers").token(token).send().await.status.as_u16()
}

#[tokio::test]
async fn each_key_of_a_set_is_found_by_its_name_and_decides_the_algorithm() {
    let platform = Platform::start().await;
    let keys = [SigningKey::new("rsa", "one"), SigningKey::new("ec", "two"), SigningKey::new("ed", "three")];
    platform.at("/jwks", Behaviour::Json(jwks(&[&keys[0], &keys[1], &keys[2]])));
    let service = service(&platform, &[]).await;
    for key in &keys {
        assert_eq!(status(&service, &key.sign(&claims())).await, 200);
    }
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512] {
        assert_eq!(status(&service, &keys[0].sign_as(Some("one"), algorithm, &claims())).await, 200, "{algorithm:?}");
    }
    // Without a name all that fit are tried; under another's name none is.
    assert_eq!(status(&service, &keys[1].sign_as(None, Algorithm::ES256, &claims())).await, 200);
    assert_eq!(status(&service, &keys[1].sign_as(Some("one"), Algorithm::ES256, &claims())).await, 401);
    assert_eq!(platform.received("/jwks").len(), 1);
}

#[tokio::test]
async fn keys_that_cannot_be_used_do_not_keep_others_from_being_used() {
    let platform = Platform::start().await;
    let good = SigningKey::new("ec", "good");
    let with = |changes: Value| {
        let mut key = SigningKey::new("rsa", "other").public();
        changes.as_object().unwrap().iter().for_each(|(name, value)| key[name] = value.clone());
        key
    };
    let unusable = [
        json!({ "kty": "oct", "kid": "other", "k": "c2VjcmV0LXRoYXQtaXMtbG9uZ2VyLXRoYW4tMzItYnl0ZXM" }),
        with(json!({ "use": "enc" })),
        with(json!({ "key_ops": ["encrypt"] })),
        with(json!({ "alg": "ES256" })),
        with(json!({ "alg": "RSA-OAEP" })),
        with(json!({ "d": "AQAB" })),
        with(json!({ "n": "AQAB" })),
        with(json!({ "n": 7 })),
        with(json!({ "kty": "EC", "crv": "P-384" })),
        json!("a key"),
        json!({}),
    ];
    let keys: Vec<Value> = unusable.into_iter().chain([good.public()]).collect();
    platform.at("/jwks", Behaviour::Json(json!({ "keys": keys })));
    let service = service(&platform, &[]).await;
    assert_eq!(status(&service, &good.sign(&claims())).await, 200);
    assert_eq!(status(&service, &SigningKey::new("rsa", "other").sign(&claims())).await, 401);
    let shared = crate::harness::sign_hs256(&claims(), "secret-that-is-longer-than-32-bytes");
    assert_eq!(status(&service, &shared).await, 401);
    // The key of the shared secret's token is not named, so it may have come since: once for it, and once at first.
    assert_eq!(platform.received("/jwks").len(), 2);
    service.app.tokens().keep_fresh().await.unwrap();
    assert!(service.app.metrics().text().contains("crm_auth_keys 1\n"), "{}", service.app.metrics().text());
}

#[tokio::test]
async fn ten_thousand_unknown_keys_cost_one_fetch() {
    let platform = Platform::start().await;
    let key = SigningKey::new("ed", "known");
    platform.at("/jwks", Behaviour::Json(jwks(&[&key])));
    let service = service(&platform, &[]).await;
    assert_eq!(status(&service, &key.sign(&claims())).await, 200);
    assert_eq!(platform.received("/jwks").len(), 1);

    let tokens = service.app.tokens();
    let unknown = |number: usize| key.sign_as(Some(&format!("k{number}")), Algorithm::EdDSA, &claims());
    for hundred in 0..100 {
        let all: Vec<String> = (0..100).map(|number| unknown(hundred * 100 + number)).collect();
        assert!(join_all(all.iter().map(|token| tokens.verify(token))).await.iter().all(Result::is_err));
    }
    assert_eq!(platform.received("/jwks").len(), 2);
    let refused = service.get("/customers").token(&unknown(0)).send().await.refused(401, "a key that is not known");
    assert!(refused.header("WWW-Authenticate").contains("invalid_token"));

    service.advance(31_000);
    assert_eq!(status(&service, &unknown(0)).await, 401);
    assert_eq!(platform.received("/jwks").len(), 3);
}

#[tokio::test]
async fn a_rotated_key_is_accepted_at_once_however_often() {
    let platform = Platform::start().await;
    let keys: Vec<SigningKey> = (0..5).map(|number| SigningKey::new("rsa", &format!("k{number}"))).collect();
    platform.at("/jwks", Behaviour::Json(jwks(&[&keys[0]])));
    let service = service(&platform, &[]).await;
    for (number, key) in keys.iter().enumerate() {
        let before = &keys[number.saturating_sub(1)];
        platform.at("/jwks", Behaviour::Json(jwks(&[before, key])));
        let tokens: Vec<String> =
            (0..20).map(|sub| key.sign(&json!({ "sub": sub.to_string(), "exp": START / 1000 + 60 }))).collect();
        let old = before.sign(&claims());
        let answers = join_all(tokens.iter().chain([&old]).map(|token| status(&service, token))).await;
        assert!(answers.iter().all(|status| *status == 200), "{number}: {answers:?}");
    }
    assert_eq!(platform.received("/jwks").len(), 5);
}

#[tokio::test]
async fn whoever_hangs_up_does_not_keep_a_rotated_key_from_being_fetched() {
    let platform = Platform::start().await;
    let (old, new) = (SigningKey::new("ec", "old"), SigningKey::new("ec", "new"));
    platform.at("/jwks", Behaviour::Json(jwks(&[&old])));
    let service = service(&platform, &[]).await;
    assert_eq!(status(&service, &old.sign(&claims())).await, 200);
    let late = Behaviour::After(std::time::Duration::from_millis(200), Box::new(Behaviour::Json(jwks(&[&old, &new]))));
    platform.at("/jwks", late);
    for number in 0..10 {
        let invented = old.sign_as(Some(&format!("k{number}")), Algorithm::ES256, &claims());
        service.get("/customers").token(&invented).hang_up_after(3).await;
    }
    assert_eq!(status(&service, &new.sign(&claims())).await, 200);
    assert_eq!(platform.received("/jwks").len(), 2, "they did not share the fetch");
}

#[tokio::test]
async fn tokens_of_a_withdrawn_algorithm_are_refused_although_accepted() {
    let platform = Platform::start().await;
    let key = SigningKey::new("rsa", "one");
    let restricted = |algorithm: &str| {
        let mut jwk = key.public();
        jwk["alg"] = json!(algorithm);
        Behaviour::Json(json!({ "keys": [jwk] }))
    };
    platform.at("/jwks", restricted("RS256"));
    let service = service(&platform, &[]).await;
    let (before, after) = (key.sign(&claims()), key.sign_as(Some("one"), Algorithm::PS256, &claims()));
    assert_eq!((status(&service, &before).await, status(&service, &after).await), (200, 401));
    platform.at("/jwks", restricted("PS256"));
    service.advance(300_000);
    service.app.tokens().keep_fresh().await.unwrap();
    assert_eq!((status(&service, &before).await, status(&service, &after).await), (401, 200));
}

#[tokio::test]
async fn tokens_of_a_withdrawn_key_are_refused_although_they_were_accepted() {
    let platform = Platform::start().await;
    let (old, new) = (SigningKey::new("ec", "old"), SigningKey::new("ec", "new"));
    platform.at("/jwks", Behaviour::Json(jwks(&[&old, &new])));
    let service = service(&platform, &[]).await;
    let tokens = (old.sign(&claims()), new.sign(&claims()));
    assert_eq!((status(&service, &tokens.0).await, status(&service, &tokens.1).await), (200, 200));
    platform.at("/jwks", Behaviour::Json(jwks(&[&new])));
    service.app.tokens().keep_fresh().await.unwrap();
    assert_eq!(status(&service, &tokens.0).await, 200, "the keys were fetched before that was due");
    service.advance(300_000);
    service.app.tokens().keep_fresh().await.unwrap();
    assert_eq!((status(&service, &tokens.0).await, status(&service, &tokens.1).await), (401, 200));
    // No key at all is a key set, too.
    platform.at("/jwks", Behaviour::Json(json!({ "keys": [] })));
    service.advance(300_000);
    service.app.tokens().keep_fresh().await.unwrap();
    assert_eq!(status(&service, &tokens.1).await, 401);
}

#[tokio::test]
async fn the_keys_of_an_issuer_are_discovered_and_its_name_is_required() {
    let platform = Platform::start().await;
    let key = SigningKey::new("ed", "one");
    let issuer = platform.url("/realm");
    platform.at("/keys", Behaviour::Json(jwks(&[&key])));
    let variables = [("CRM_JWT_SECRET", ""), ("CRM_OIDC_ISSUER", issuer.as_str())];
    let service = Service::with(&variables).await;
    let token = |issuer: &str| key.sign(&json!({ "iss": issuer, "exp": START / 1000 + 3600 }));
    let discovery = "/realm/.well-known/openid-configuration";
    // The document of another issuer, and none at all.
    for wrong in [json!({ "issuer": platform.url("/other"), "jwks_uri": platform.url("/keys") }), json!({}), json!(7)] {
        platform.at(discovery, Behaviour::Json(wrong));
        assert_eq!(status(&service, &token(&issuer)).await, 503);
    }
    platform.at(discovery, Behaviour::Json(json!({ "issuer": issuer, "jwks_uri": "http://192.0.2.1/keys" })));
    assert_eq!(status(&service, &token(&issuer)).await, 503);
    platform.at(discovery, Behaviour::Json(json!({ "issuer": issuer, "jwks_uri": platform.url("/keys") })));
    assert_eq!(status(&service, &token(&issuer)).await, 200);
    let foreign = service.get("/customers").token(&token(&platform.url("/other"))).send().await;
    foreign.refused(401, "the token is from another issuer");
}
