//! Headers, paths and methods, the same for every operation.

use poem::http::Method;
use serde_json::json;

use crate::harness::{
    Service,
    contract_walk::{create_resources, operations, request},
};

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

#[tokio::test]
async fn a_malformed_position_is_400_for_each_operation_that_reads() {
    let service = Service::start().await;
    let ids = create_resources(&service).await;
    let (mut reads, valid) = (0, "00000004A81F03C8");
    for operation in operations(&service) {
        let takes_it = operation.definition["parameters"].to_string().contains("/DatabasePosition");
        assert_eq!(takes_it, operation.method == Method::GET && operation.is_secured(), "{operation:?}");
        if !takes_it {
            continue;
        }
        reads += 1;
        for malformed in ["", "0/16B3748", "00000004a81f03c8", "00000004A81F03C80"] {
            let refused = request(&service, &operation, &ids).header("X-Database-Position", malformed).send().await;
            let details = refused.expect(400).body["details"].to_string();
            assert!(details.starts_with("\"X-Database-Position: "), "{details}");
        }
        let twice = request(&service, &operation, &ids).header("X-Database-Position", valid);
        twice.add_header("X-Database-Position", valid.as_bytes()).send().await.expect(400);
        let read = request(&service, &operation, &ids).header("X-Database-Position", valid).send().await;
        // Nothing was erased, so there is no certificate.
        assert_eq!(read.status == 404, operation.template.ends_with("/erasure"), "{operation:?}: {}", read.text);
        assert_ne!(read.status, 400, "{operation:?}: {}", read.text);
    }
    assert!(reads > 20, "{reads}");
    // A change sees the newest; without a standby, nobody is told where that is.
    let change = service.post("/customers", json!({ "name": "Acme" })).header("X-Database-Position", "anything");
    assert_eq!(change.send().await.expect(201).header("X-Database-Position"), "");
}
