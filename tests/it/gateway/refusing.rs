//! What a gateway itself refuses or cannot pass on: in the one error body of the service. What it closes.

use reqwest::Method;
use serde_json::json;

use super::{
    Front, PREFIX,
    recorder::{Answer, Recorder},
    service, token,
};
use crate::harness::free_port;

const KIB: usize = 1 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, Caddy, Envoy and Traefik: make gateways"]
async fn bodies_that_are_too_large_get_the_one_error_body() {
    let (_database, process) = service().await;
    for (number, front) in Front::each(&process.address).await.into_iter().enumerate() {
        let send = async |size: usize, what: &str| {
            let id = format!("{what}-{number}");
            let request = front.request(Method::POST, &format!("{PREFIX}/customers")).bearer_auth(token());
            let body = json!({ "name": "x".repeat(size) });
            (front.send(request.header("X-Request-ID", &id).json(&body)).await, id)
        };
        let (reply, id) = send(127 * KIB, "whole").await;
        let details = reply.refused(400, "BAD_REQUEST", Some(&id)).json()["details"].to_string();
        assert!(details.contains("name: must be 1 to 200 characters"), "{details}");
        // The service refuses what is above its own limit, and says which limit that is.
        for size in [129, 900] {
            let (reply, id) = send(size * KIB, &format!("of-{size}")).await;
            let details = reply.refused(413, "PAYLOAD_TOO_LARGE", Some(&id)).json()["details"].to_string();
            assert!(details.contains("131072"), "{details}");
        }
        let (reply, id) = send(3000 * KIB, "far-too-large").await;
        reply.refused(413, "PAYLOAD_TOO_LARGE", Some(&id));
        let long = front.request(Method::GET, &format!("{PREFIX}/customers?q={}", "x".repeat(20 * KIB)));
        front.send(long.bearer_auth(token())).await.refused(414, "URI_TOO_LONG", None);
        let heavy = front.request(Method::GET, &format!("{PREFIX}/customers")).header("X-Large", "x".repeat(40 * KIB));
        front.send(heavy.bearer_auth(token())).await.refused(431, "HEADERS_TOO_LARGE", None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, Caddy, Envoy and Traefik: make gateways"]
async fn a_service_that_is_gone_gives_the_one_error_body() {
    for front in Front::each(&format!("127.0.0.1:{}", free_port())).await {
        for method in [Method::GET, Method::POST, Method::PATCH, Method::DELETE] {
            let request = front.request(method, &format!("{PREFIX}/customers")).header("X-Request-ID", "gone");
            front.send(request.json(&json!({}))).await.refused(503, "SERVICE_UNAVAILABLE", Some("gone"));
        }
        // Where the caller names no request, the gateway does. So it does where an id would have to be quoted.
        let unnamed = front.request(Method::GET, &format!("{PREFIX}/customers"));
        front.send(unnamed).await.refused(503, "SERVICE_UNAVAILABLE", None);
        let odd = front.request(Method::GET, &format!("{PREFIX}/customers")).header("X-Request-ID", "a\"b\\c");
        front.send(odd).await.refused(503, "SERVICE_UNAVAILABLE", None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, Caddy, Envoy and Traefik: make gateways"]
async fn a_service_that_does_not_answer_gives_the_one_error_body() {
    let recorder = Recorder::start(Answer::Never).await;
    for front in Front::each_with(std::slice::from_ref(&recorder.address), &[("60s", "1s")]).await {
        let request = front.request(Method::POST, &format!("{PREFIX}/customers")).header("X-Request-ID", "silent");
        front.send(request.json(&json!({}))).await.refused(503, "SERVICE_UNAVAILABLE", Some("silent"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, Caddy, Envoy and Traefik: make gateways"]
async fn metrics_and_what_is_not_routed_are_not_found() {
    let (_database, process) = service().await;
    for front in Front::each(&process.address).await {
        let paths = ["/metrics", "/", "/health", "/customers", "/api/v1/crm/metrics", "/api/v1/crm/%2e%2e/metrics"];
        for path in paths.into_iter().chain(["/api/v1/crm//metrics", "/api/v1/other/customers"]) {
            let reply = front.send(front.request(Method::GET, path).bearer_auth(token())).await;
            assert!(!reply.body.contains("crm_"), "{reply:?}");
            reply.refused(404, "NOT_FOUND", None);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, Caddy, Envoy and Traefik: make gateways"]
async fn gateways_log_neither_queries_nor_tokens() {
    let (_database, process) = service().await;
    for front in Front::each(&process.address).await {
        let path = format!("{PREFIX}/customers?contactPhone=13800138000");
        front.send(front.request(Method::GET, &path).bearer_auth(token())).await.refused(403, "FORBIDDEN", None);
        drop(front.send(front.request(Method::GET, "/nowhere?contactPhone=13800138000").bearer_auth(token())).await);
        let log = front.log();
        assert!(!log.contains("13800138000") && !log.contains(&token()), "{}: {log}", front.name);
    }
}
