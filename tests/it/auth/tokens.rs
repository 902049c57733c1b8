//! Bearer tokens (RFC 6750), which are JSON Web Tokens (RFC 7519, RFC 8725). The key pairs in `keys/` exist for these
//! tests only.

use std::sync::Arc;

use crm::{auth::TokenVerifier, config::Config, values::Clock};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::harness::{SECRET, START, Service, sign_hs256, token};

const NOW: i64 = START / 1000;

fn claims() -> Value {
    json!({ "sub": "tester", "exp": NOW + 3600 })
}

async fn refused(service: &Service, token: &str, details: &str) {
    let reply = service.get("/customers").token(token).send().await.refused(401, details);
    let challenge = reply.header("WWW-Authenticate");
    assert!(challenge.starts_with(r#"Bearer error="invalid_token", error_description=""#), "{challenge}");
    assert_eq!(reply.body["code"], "UNAUTHORIZED");
}

async fn accepted(service: &Service, token: &str) {
    service.get("/customers").token(token).send().await.expect(200);
}

#[tokio::test]
async fn exp_is_required_and_exp_and_nbf_have_a_minute_of_leeway() {
    let service = Service::start().await;
    refused(&service, &sign_hs256(&json!({ "sub": "x" }), SECRET), "has no claim exp").await;
    accepted(&service, &token(json!({ "exp": NOW - 59 }))).await;
    refused(&service, &token(json!({ "exp": NOW - 60 })), "has expired").await;
    accepted(&service, &token(json!({ "nbf": NOW + 59 }))).await;
    refused(&service, &token(json!({ "nbf": NOW + 62 })), "is not valid yet").await;
    let soon = token(json!({ "exp": NOW + 10 }));
    accepted(&service, &soon).await;
    service.advance(71_000);
    refused(&service, &soon, "has expired").await;
}

#[tokio::test]
async fn a_claim_of_the_wrong_type_is_401() {
    let service = Service::start().await;
    for (name, wrong) in [
        ("exp", json!("9999999999")),
        ("exp", json!(null)),
        ("nbf", json!("0")),
        ("iat", json!([])),
        ("sub", json!(7)),
        ("sub", json!(null)),
        ("iss", json!(["a"])),
        ("aud", json!({})),
        ("aud", json!([1])),
        ("scope", json!({ "crm:read": true })),
        ("scope", json!(["crm:read", 1])),
        ("scp", json!(1)),
        ("scp", json!(["crm:read", 1])),
        ("tenant_id", json!(1)),
        ("tenant_id", json!(["a", null])),
        ("client_id", json!(false)),
        ("azp", json!(1)),
    ] {
        refused(&service, &token(json!({ name: wrong })), &format!("the claim {name} must be")).await;
    }
}

#[tokio::test]
async fn an_issuer_or_audience_other_than_configured_is_401() {
    let open = Service::start().await;
    accepted(&open, &token(json!({ "iss": "anyone" }))).await;
    refused(&open, &token(json!({ "aud": "someone-else" })), "another audience").await;

    let strict = Service::with(&[("CRM_JWT_ISSUER", "platform"), ("CRM_JWT_AUDIENCE", "crm")]).await;
    accepted(&strict, &token(json!({ "iss": "platform", "aud": "crm" }))).await;
    accepted(&strict, &token(json!({ "iss": "platform", "aud": ["erp", "crm"] }))).await;
    refused(&strict, &token(json!({ "aud": "crm" })), "another issuer").await;
    refused(&strict, &token(json!({ "iss": "platform2", "aud": "crm" })), "another issuer").await;
    refused(&strict, &token(json!({ "iss": "platform" })), "names no audience").await;
    refused(&strict, &token(json!({ "iss": "platform", "aud": ["erp"] })), "another audience").await;
}

#[tokio::test]
async fn anything_but_one_bearer_token_is_401() {
    let service = Service::start().await;
    let good = token(json!({}));
    let with = |value: &str| service.get("/customers").header("Authorization", value).send();
    with(&format!("bearer {good}")).await.expect(200);
    for wrong in ["", "Bearer", "Bearer ", "Basic eDp5", good.as_str(), "Bearer a.b.c", "Bearer a.b"] {
        with(wrong).await.refused(401, "Authorization");
    }
    let twice = service.get("/customers").token(&good).add_header("Authorization", format!("Bearer {good}").as_bytes());
    twice.send().await.refused(401, "Authorization: must be sent once");
}

#[tokio::test]
async fn a_foreign_mismatched_or_missing_signature_is_401() {
    let service = Service::start().await;
    refused(&service, &sign_hs256(&claims(), "another secret, also longer than 32 bytes"), "not signed").await;
    let good = token(json!({ "scope": "crm:read" }));
    let parts: Vec<&str> = good.split('.').collect();
    let more = token(json!({ "scope": "crm:write" }));
    let payload = more.split('.').nth(1).unwrap();
    refused(&service, &format!("{}.{payload}.{}", parts[0], parts[2]), "not signed").await;
    for none in [r#"{"alg":"none"}"#, r#"{"alg":"None","typ":"JWT"}"#] {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let header = URL_SAFE_NO_PAD.encode(none);
        refused(&service, &format!("{header}.{}.", parts[1]), "not signed").await;
    }
}

#[tokio::test]
async fn only_the_algorithms_of_the_configured_key_are_accepted() {
    let private =
        |name: &str| std::fs::read(format!("{}/tests/it/auth/keys/{name}.pem", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let rsa = EncodingKey::from_rsa_pem(&private("rsa")).unwrap();
    let ec = EncodingKey::from_ec_pem(&private("ec")).unwrap();
    let ed = EncodingKey::from_ed_pem(&private("ed")).unwrap();
    let sign = |algorithm, key: &EncodingKey| jsonwebtoken::encode(&Header::new(algorithm), &claims(), key).unwrap();
    let tokens = [
        ("rsa", sign(Algorithm::RS256, &rsa)),
        ("rsa", sign(Algorithm::PS256, &rsa)),
        ("ec", sign(Algorithm::ES256, &ec)),
        ("ed", sign(Algorithm::EdDSA, &ed)),
        ("rsa", sign(Algorithm::RS512, &rsa)),
        ("rsa", sign(Algorithm::PS384, &rsa)),
        ("none", token(json!({}))),
    ];
    for key in ["rsa", "ec", "ed"] {
        let file = format!("{}/tests/it/auth/keys/{key}.pub.pem", env!("CARGO_MANIFEST_DIR"));
        let service = Service::with(&[("CRM_JWT_SECRET", ""), ("CRM_JWT_PUBLIC_KEY_FILE", &file)]).await;
        for (signer, token) in &tokens {
            if *signer == key {
                accepted(&service, token).await;
            } else {
                refused(&service, token, "not signed with the configured key and algorithm").await;
            }
        }
        // Algorithm confusion (RFC 8725, 2.1): the public key taken for a shared secret.
        let pem = std::fs::read_to_string(&file).unwrap();
        refused(&service, &sign_hs256(&claims(), &pem), "not signed").await;
    }
}

fn verifier(variable: &str, value: &str) -> std::io::Result<TokenVerifier> {
    let config = Config::read(&|name| (name == variable).then(|| value.to_owned())).0.unwrap();
    TokenVerifier::from_config(&config, &Clock::System, &Arc::default())
}

#[test]
fn an_unusable_public_key_is_refused_at_start() {
    for (file, why) in [
        ("ec384.pub.pem", "number 1 in it is no key of type RSA, EC P-256 or Ed25519"),
        ("rsa.pem", "number 1 in it is a private key"),
        ("ed.pem", "number 1 in it is a private key"),
        ("../tokens.rs", "holds no public key in the form of PEM"),
        ("missing.pem", "No such file"),
    ] {
        let file = format!("{}/tests/it/auth/keys/{file}", env!("CARGO_MANIFEST_DIR"));
        let error = verifier("CRM_JWT_PUBLIC_KEY_FILE", &file).err().unwrap().to_string();
        assert!(error.contains(&file) && error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_critical_header_extension_is_401() {
    let service = Service::start().await;
    let header = Header { crit: Some(vec!["b64".to_owned()]), ..Header::default() };
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
    service.get("/customers").token(&token).send().await.expect(401);
}

#[tokio::test]
async fn without_crm_scopes_a_token_reads_and_writes_masked_data() {
    let service = Service::start().await;
    for claims in [json!({}), json!({ "scope": "openid profile" }), json!({ "scp": ["email"] })] {
        let body = json!({ "name": "x", "contactPhone": "13812345678" });
        let made = service.post("/customers", body).claims(claims.clone()).send().await.expect(201);
        assert_eq!(made.body["contactPhone"], "138****5678");
        service.get("/customers").claims(claims).send().await.expect(200);
    }
}
