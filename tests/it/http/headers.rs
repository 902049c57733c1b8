//! Headers, paths and methods, the same for every operation.

use poem::http::Method;
use serde_json::json;

use crate::harness::Service;

#[tokio::test]
async fn a_valid_request_id_is_echoed_and_any_other_replaced() {
    let service = Service::start().await;
    let longest = "~".repeat(128);
    for id in ["a", "4f1c0f3e-2d4b-4c58-9a57-0d6a6f0f6a11", longest.as_str()] {
        assert_eq!(service.get("/customers").request_id(id).send().await.expect(200).header("X-Request-ID"), id);
        let refused = service.get("/customers/x").request_id(id).send().await.expect(404);
        assert_eq!((refused.header("X-Request-ID"), &refused.body["requestId"]), (id, &json!(id)));
    }
    for invalid in ["", "two words", &"x".repeat(129)] {
        let replaced = service.get("/customers").request_id(invalid).send().await.expect(200);
        assert_eq!(replaced.header("X-Request-ID").len(), 36);
    }
    let twice = service.get("/customers").request_id("one").add_header("X-Request-ID", b"two").send().await.expect(200);
    assert_eq!(twice.header("X-Request-ID").len(), 36);
    let not_text = service.get("/customers").add_header("X-Request-ID", b"\xff\xfe").send().await.expect(200);
    assert_eq!(not_text.header("X-Request-ID").len(), 36);
}

#[tokio::test]
async fn the_response_time_has_two_decimals() {
    let service = Service::start().await;
    for path in ["/customers", "/nowhere", "/customers/x", "/health"] {
        let reply = service.get(path).send().await;
        let time = reply.header("X-Response-Time");
        let (whole, fraction) = time.split_once('.').unwrap();
        assert!(whole.parse::<u64>().is_ok() && fraction.len() == 2 && fraction.parse::<u64>().is_ok(), "{time}");
    }
}

#[tokio::test]
async fn an_unknown_route_is_404_with_and_without_a_token() {
    let service = Service::start().await;
    for path in ["/nowhere", "/customers/", "/customers/x/y", "//customers", "/api/v1/crm/customers", "/Customers"] {
        service.get(path).send().await.expect(404);
        service.get(path).without("Authorization").send().await.expect(404);
        service.post(path, json!({})).without("Authorization").send().await.expect(404);
    }
}

#[tokio::test]
async fn another_method_is_405_with_the_allowed_ones() {
    let service = Service::start().await;
    for (path, allow) in [
        ("/customers", "GET, HEAD, POST"),
        ("/customers/x", "GET, HEAD, PATCH, DELETE"),
        ("/follow-ups/x", "GET, HEAD, PATCH, DELETE"),
        ("/health", "GET, HEAD"),
        ("/docs", "GET, HEAD"),
        ("/", "GET, HEAD"),
        ("/openapi.yaml", "GET, HEAD"),
    ] {
        for method in [Method::PUT, Method::OPTIONS, Method::TRACE, Method::from_bytes(b"PURGE").unwrap()] {
            for stripped in [false, true] {
                let call = service.call(method.clone(), path).without("Authorization");
                let reply = if stripped { call.without_prefix() } else { call }.send().await.expect(405);
                assert_eq!(reply.header("Allow"), allow);
                assert_eq!(reply.body["code"], "METHOD_NOT_ALLOWED");
            }
        }
    }
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let service = Service::start().await;
    let reply = service.call(Method::HEAD, "/customers").send().await.expect(200);
    assert_eq!(reply.text, "");
    assert_eq!(service.call(Method::HEAD, "/health").without("Authorization").send().await.expect(200).text, "");
}

#[tokio::test]
async fn an_unavailable_database_is_503() {
    let service = Service::start().await;
    service.app.database().close().await.unwrap();
    service.post("/customers", json!({ "name": "x" })).send().await.expect(503);
    service.get("/customers").send().await.expect(503);
}
