//! Tokens that the platform knows (RFC 7662): asked once, remembered for a while, and refused whatever goes wrong.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::keys::status;
use crate::harness::{
    START, Service,
    platform::{Behaviour, Platform, SigningKey, jwks},
    token, within,
};

const NOW: i64 = START / 1000;

async fn service(platform: &Platform, more: &[(&str, &str)]) -> Service {
    let url = platform.url("/introspect");
    let mut variables = vec![("CRM_JWT_SECRET", ""), ("PLATFORM_AUTH_URL", url.as_str())];
    variables.extend(more);
    Service::with(&variables).await
}

fn active(claims: Value) -> Behaviour {
    let mut answer = json!({ "active": true, "sub": "tester" });
    claims.as_object().unwrap().iter().for_each(|(name, value)| answer[name] = value.clone());
    Behaviour::Json(answer)
}

#[tokio::test]
async fn the_platform_is_asked_with_credentials_and_its_claims_hold() {
    let platform = Platform::start().await;
    platform.at("/introspect", active(json!({ "scope": "crm:read", "tenant_id": "acme", "exp": NOW + 60 })));
    let client = [("CRM_PLATFORM_AUTH_CLIENT_ID", "crm one"), ("CRM_PLATFORM_AUTH_CLIENT_SECRET", "ä:b/c")];
    let service = service(&platform, &client).await;
    service.get("/customers").token("an-opaque+token").send().await.expect(200);
    service.post("/customers", json!({ "name": "x" })).token("an-opaque+token").send().await.refused(403, "crm:write");
    service.get("/customers").token("an-opaque+token").tenant("other").send().await.expect(403);
    let [asked] = platform.received("/introspect").try_into().unwrap();
    assert!(asked.head.starts_with("POST /introspect "), "{asked:?}");
    assert_eq!(asked.body, "token=an-opaque%2Btoken");
    let head = asked.head.to_lowercase();
    assert!(
        head.contains("accept: application/json") && head.contains("content-type: application/x-www-form-urlencoded")
    );
    // `crm+one:%C3%A4%3Ab%2Fc` in base64.
    assert!(asked.head.contains("Basic Y3JtK29uZTolQzMlQTQlM0FiJTJGYw=="), "{asked:?}");

    let expired = service.get("/customers").token("an-opaque+token");
    service.advance(121_000);
    expired.send().await.refused(401, "has expired");
}

#[tokio::test]
async fn whatever_the_platform_does_wrong_no_token_is_accepted() {
    let platform = Platform::start().await;
    let elsewhere = format!("Location: {}\r\n", platform.url("/active"));
    platform.at("/active", active(json!({})));
    let json_type = || "Content-Type: application/json\r\n".to_owned();
    let body = || r#"{"active":true}"#.to_owned();
    let reply = |status, headers: String, body: &str| Behaviour::Reply(status, headers, body.to_owned());
    let cases = [
        (503, Behaviour::Close),
        (503, Behaviour::Hang),
        (503, Behaviour::Drip),
        (503, Behaviour::HalfABody),
        (503, Behaviour::Huge(300_000)),
        (503, reply("500 Internal Server Error", json_type(), &body())),
        (503, reply("201 Created", json_type(), &body())),
        (503, reply("302 Found", elsewhere, "")),
        (503, reply("401 Unauthorized", json_type(), &body())),
        (503, reply("429 Too Many Requests", json_type(), &body())),
        (503, reply("200 OK", "Content-Type: text/html\r\n".to_owned(), &body())),
        (503, reply("200 OK", String::new(), &body())),
        (503, reply("200 OK", json_type(), "")),
        (503, reply("200 OK", json_type(), "true")),
        (503, reply("200 OK", json_type(), r#"{"active":true"#)),
        (503, reply("200 OK", json_type(), r#"{"active":true,"active":false}"#)),
        (503, reply("200 OK", json_type(), r#"{"active":false,"active":true}"#)),
        (503, reply("200 OK", json_type(), &format!("{}{}", r#"{"active":true,"x":"#, "[".repeat(10_000)))),
        (503, Behaviour::Json(json!({}))),
        (503, Behaviour::Json(json!({ "active": "true" }))),
        (503, Behaviour::Json(json!({ "active": 1 }))),
        (503, Behaviour::Json(json!({ "active": null }))),
        (503, Behaviour::Json(json!([{ "active": true }]))),
        (401, Behaviour::Json(json!({ "active": false, "scope": "crm:read crm:write" }))),
        (401, active(json!({ "exp": NOW - 61 }))),
        (401, active(json!({ "exp": "never" }))),
        (401, active(json!({ "nbf": NOW + 3600 }))),
        (401, active(json!({ "scope": 7 }))),
        (401, active(json!({ "tenant_id": { "name": "a" } }))),
        (401, active(json!({ "sub": ["a"] }))),
        (401, active(json!({ "aud": "another" }))),
    ];
    let service = service(&platform, &[]).await;
    for (number, (expected, behaviour)) in cases.into_iter().enumerate() {
        // The breaker is another test's.
        service.advance(10_000);
        platform.at("/introspect", active(json!({})));
        assert_eq!(status(&service, &format!("good{number}")).await, 200);
        platform.at("/introspect", behaviour.clone());
        let asked = std::time::Instant::now();
        assert_eq!(status(&service, &format!("token{number}")).await, expected, "{behaviour:?}");
        assert!(asked.elapsed() < Duration::from_secs(9), "{behaviour:?} took {:?}", asked.elapsed());
    }
    assert!(platform.received("/active").is_empty(), "a redirect was followed");
    platform.at("/introspect", active(json!({})));
    service.advance(10_000);
    assert_eq!(status(&service, "token0").await, 200);
}

#[tokio::test]
async fn whoever_asks_about_one_token_at_a_time_shares_the_question() {
    let platform = Platform::start().await;
    let late = Behaviour::After(Duration::from_millis(300), Box::new(active(json!({}))));
    platform.at("/introspect", late);
    let service = service(&platform, &[]).await;
    let answers = join_all((0..200).map(|_| status(&service, "shared"))).await;
    assert!(answers.iter().all(|status| *status == 200));
    assert_eq!(platform.received("/introspect").len(), 1);
    // One who hangs up takes the answer from nobody.
    platform.at("/introspect", Behaviour::After(Duration::from_millis(300), Box::new(active(json!({})))));
    let (_, stays) = tokio::join!(service.get("/customers").token("second").hang_up_after(3), async {
        tokio::task::yield_now().await;
        status(&service, "second").await
    });
    assert_eq!((stays, platform.received("/introspect").len()), (200, 2));
}

#[tokio::test]
async fn tokens_that_the_platform_is_asked_about_hold_no_places() {
    let platform = Platform::start().await;
    platform.at("/introspect", active(json!({})));
    let in_flight = ("CRM_REQUESTS_IN_FLIGHT", "4");
    let service = service(&platform, &[in_flight, ("CRM_AUTH_CACHE", "60s")]).await;
    assert_eq!(status(&service, "known").await, 200);
    platform.at("/introspect", Behaviour::Hang);
    let strangers: Vec<String> = (0..300).map(|number| format!("stranger{number}")).collect();
    let mut asked = Box::pin(join_all(strangers.iter().map(|token| service.get("/customers").token(token).send())));
    // 24 ask, 256 wait, and for the others there is no room.
    let refused = "crm_auth_refusals_total{reason=\"unavailable\"} 20\n";
    tokio::select! {
        biased;
        _ = asked.as_mut() => panic!("they were answered"),
        () = within(30, "twenty are refused", || async { service.app.metrics().text().contains(refused) }) => {}
    }
    assert_eq!(service.app.metrics().http.requests_in_flight.get(), 0);
    assert_eq!(status(&service, "known").await, 200);
    // One that was known has its turn before them.
    platform.at("/introspect", active(json!({})));
    service.advance(61_000);
    assert_eq!(status(&service, "known").await, 200);
    assert!(platform.received("/introspect").last().unwrap().body.contains("known"));
}

#[tokio::test]
async fn what_the_platform_said_is_remembered_for_a_while_and_longer_while_it_is_away() {
    let mut platform = Platform::start().await;
    platform.at("/introspect", active(json!({})));
    let service = service(&platform, &[("CRM_AUTH_CACHE", "60s"), ("CRM_AUTH_GRACE", "30m")]).await;
    let asked = |platform: &Platform| platform.received("/introspect").len();
    assert_eq!(status(&service, "token").await, 200);
    service.advance(59_000);
    assert_eq!((status(&service, "token").await, asked(&platform)), (200, 1));
    service.advance(1_000);
    assert_eq!((status(&service, "token").await, asked(&platform)), (200, 2));

    platform.go_away().await;
    service.advance(1_700_000);
    assert_eq!((status(&service, "token").await, status(&service, "another").await), (200, 503));
    service.advance(101_000);
    assert_eq!(status(&service, "token").await, 503);

    platform.come_back().await;
    platform.at("/introspect", Behaviour::Json(json!({ "active": false })));
    service.advance(10_000);
    assert_eq!(status(&service, "token").await, 401);
    let refused = asked(&platform);
    assert_eq!((status(&service, "token").await, asked(&platform)), (401, refused));
    // What was withdrawn is not remembered for the next outage.
    platform.go_away().await;
    service.advance(11_000);
    assert_eq!(status(&service, "token").await, 503);
    platform.come_back().await;
    platform.at("/introspect", active(json!({})));
    service.advance(10_000);
    assert_eq!(status(&service, "token").await, 200);
}

#[tokio::test]
async fn with_keys_only_what_is_no_jwt_is_asked_about_unless_all_is() {
    let platform = Platform::start().await;
    platform.at("/introspect", active(json!({})));
    let others = service(&platform, &[("CRM_JWT_SECRET", crate::harness::SECRET)]).await;
    let good = token(json!({}));
    assert_eq!(status(&others, &good).await, 200);
    // A signature that is not right is the end of it.
    assert_eq!(
        status(&others, &crate::harness::sign_hs256(&json!({}), "another secret, longer than 32 bytes")).await,
        401
    );
    assert_eq!(platform.received("/introspect").len(), 0);
    assert_eq!(status(&others, "opaque").await, 200);
    assert_eq!(status(&others, "a.b.c").await, 200);
    for form in ["a b", "a,b", "\"a\"", "a=b", "=="] {
        assert_eq!(status(&others, form).await, 401, "{form}");
    }
    assert_eq!(platform.received("/introspect").len(), 2);

    let all = service(&platform, &[("CRM_JWT_SECRET", crate::harness::SECRET), ("CRM_AUTH_INTROSPECT", "all")]).await;
    platform.at("/introspect", Behaviour::Json(json!({ "active": false })));
    assert_eq!(status(&all, &good).await, 401);

    let key = SigningKey::new("ed", "one");
    platform.at("/jwks", Behaviour::Json(jwks(&[&key])));
    let url = platform.url("/jwks");
    let fetched = service(&platform, &[("CRM_JWKS_URL", &url)]).await;
    assert_eq!(status(&fetched, &key.sign(&json!({ "exp": NOW + 60 }))).await, 200);
    assert_eq!(status(&fetched, "opaque").await, 401);
}
