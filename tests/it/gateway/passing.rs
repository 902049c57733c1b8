//! What passes a gateway, and comes back, as it is.

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::{
    Front, PREFIX, Reply,
    recorder::{Answer, Recorder},
    service, token,
};

/// All visible characters: `X-Request-ID` and `Idempotency-Key` may have any of them.
fn odd_id(number: usize) -> String {
    let visible: String = (0x21..0x7f_u8).map(char::from).collect();
    format!("{visible}{number}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, Caddy, Envoy and Traefik: make gateways"]
async fn headers_and_bodies_arrive_as_they_were_sent() {
    let recorder = Recorder::start(Answer::With(200, Vec::new(), "{}".to_owned())).await;
    for (number, front) in Front::each(&recorder.address).await.into_iter().enumerate() {
        let id = odd_id(number);
        let sent = [
            ("Authorization", "Bearer a.b.c"),
            ("X-Tenant-Id", "tenant.one"),
            ("X-Request-ID", &id),
            ("Idempotency-Key", &id),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("tracestate", "vendor=value"),
            ("If-Match", "\"7\", W/\"8-m\", *"),
            ("If-None-Match", "\"7-m\""),
            ("Accept", "application/json;q=0.9, */*;q=0.1"),
            ("Content-Type", "application/json; charset=UTF-8"),
        ];
        let (query, body) = ("?contactPhone=%2B44%20a+b%2Fc&q=%e4%bd%a0", "{\"name\": \"caf\u{e9}\"}\n");
        let mut request = front.request(Method::POST, &format!("{PREFIX}/customers{query}")).body(body);
        for (name, value) in sent {
            request = request.header(name, value);
        }
        front.send(request).await.expect(200);
        let arrived = recorder.last();
        let path = if front.stripped { "/customers" } else { "/api/v1/crm/customers" };
        assert_eq!((arrived.method.as_str(), arrived.path), ("POST", format!("{path}{query}")), "{}", front.name);
        for (name, value) in sent {
            let values: Vec<_> = arrived.headers.get_all(name).iter().collect();
            assert_eq!(values, [value], "{name} through {}", front.name);
        }
        assert_eq!(arrived.body, body, "{}", front.name);
        // Where the caller names no request, nobody else does.
        front.send(front.request(Method::GET, &format!("{PREFIX}/customers"))).await.expect(200);
        let arrived = recorder.last();
        assert_eq!(arrived.method, "GET");
        for name in ["X-Request-ID", "Idempotency-Key", "Authorization", "X-Tenant-Id", "If-Match"] {
            assert!(!arrived.headers.contains_key(name), "{name} through {}", front.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, Caddy, Envoy and Traefik: make gateways"]
async fn replies_come_back_as_the_service_made_them() {
    let headers = [
        ("Content-Type", "application/json"),
        ("X-Request-ID", "the-service-made-it"),
        ("X-Response-Time", "0.84"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("ETag", "\"7-m\""),
        ("Location", "/api/v1/crm/customers/1"),
        ("Cache-Control", "private, no-cache"),
        ("Vary", "Authorization, X-Tenant-Id"),
        ("Retry-After", "1"),
        ("Allow", "GET, POST"),
        ("WWW-Authenticate", "Bearer"),
    ];
    let body = "{\"code\":\"OF_THE_SERVICE\",\"details\":null}";
    for status in [200, 201, 400, 401, 404, 405, 409, 412, 413, 415, 429, 500, 503] {
        let answer = headers.map(|(name, value)| (name, value.to_owned())).to_vec();
        let recorder = Recorder::start(Answer::With(status, answer, body.to_owned())).await;
        for front in Front::each(&recorder.address).await {
            let reply = front.send(front.request(Method::GET, &format!("{PREFIX}/customers"))).await.expect(status);
            for (name, value) in headers {
                assert_eq!(reply.header(name), value, "{name} of {status} through {}", front.name);
            }
            assert_eq!(reply.body, body, "{status} through {}", front.name);
        }
    }
}

fn with_token(request: RequestBuilder) -> RequestBuilder {
    request.bearer_auth(token())
}

async fn create(front: &Front, id: &str) -> Reply {
    let request = with_token(front.request(Method::POST, &format!("{PREFIX}/customers")));
    front.send(request.header("X-Request-ID", id).json(&json!({ "name": "Acme" }))).await.expect(201)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, Caddy, Envoy and Traefik: make gateways"]
async fn locations_tags_and_pages_lead_back_through_the_gateway() {
    let (_database, process) = service().await;
    for (number, front) in Front::each(&process.address).await.into_iter().enumerate() {
        let created = create(&front, &format!("create-{number}")).await;
        let location = created.header("Location").to_owned();
        let read = front.send(with_token(front.request(Method::GET, &location))).await.expect(200);
        assert_eq!(read.json(), created.json());
        let tag = read.header("ETag").to_owned();
        let again = with_token(front.request(Method::GET, &location)).header("If-None-Match", &tag);
        front.send(again).await.expect(304);
        let change = |id: &str| {
            let request = with_token(front.request(Method::PATCH, &location)).header("If-Match", &tag);
            request.header("X-Request-ID", format!("{id}-{number}")).json(&json!({ "name": "Globex" }))
        };
        front.send(change("change")).await.expect(200);
        front.send(change("late")).await.refused(412, "PRECONDITION_FAILED", Some(&format!("late-{number}")));
        for page in ["/docs", "/redoc", "/openapi.yaml", "/health"] {
            let reply = front.send(front.request(Method::GET, &format!("{PREFIX}{page}"))).await.expect(200);
            assert!(!reply.body.is_empty(), "{page} through {}", front.name);
        }
        front.send(with_token(front.request(Method::DELETE, &location))).await.expect(204);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx, Caddy, Envoy and Traefik, and waits for 20 seconds: make gateways"]
async fn long_polls_live() {
    let (_database, process) = service().await;
    let fronts = Front::each(&process.address).await;
    let Some(first) = fronts.first() else { return };
    // Longer than what a gateway may wait by default: 15 s of Envoy. Nothing happens meanwhile.
    let poll = |front: &Front, wait: u8, after: &str| {
        with_token(front.request(Method::GET, &format!("{PREFIX}/events?wait={wait}&after={after}")))
    };
    let replies = join_all(fronts.iter().map(|front| front.send(poll(front, 20, "0")))).await;
    for reply in replies {
        let page = reply.expect(200).json();
        assert_eq!(page["data"], json!([]));
    }
    // An event ends the wait of all.
    let waiting = join_all(fronts.iter().map(|front| front.send(poll(front, 30, "0"))));
    let (replies, _created) = tokio::join!(waiting, create(first, "an-event"));
    for reply in replies {
        assert_eq!(reply.expect(200).json()["data"][0]["eventType"], "crm.customer.created");
    }
}
