//! How many requests are answered at once, and how long one may take.

use std::{sync::Arc, time::Duration};

use poem::{Endpoint, Response, endpoint::make};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::harness::{Service, within};

/// An operation that waits for a permit.
fn waits(permits: &Arc<Semaphore>) -> impl Endpoint + 'static + use<> {
    let permits = Arc::clone(permits);
    make(move |_| {
        let permits = Arc::clone(&permits);
        async move { permits.acquire().await.map(|_| Response::default()).unwrap() }
    })
}

#[tokio::test]
async fn beyond_the_requests_in_flight_is_503_at_once_but_for_probes() {
    let permits = Arc::new(Semaphore::new(0));
    let service = Service::with(&[("CRM_REQUESTS_IN_FLIGHT", "2")]).await.with_operations(waits(&permits));
    let metrics = Arc::clone(service.app.metrics());
    let answers =
        async { tokio::join!(service.get("/customers").send_unchecked(), service.get("/contacts").send_unchecked()) };
    let beyond = async {
        within(30, "two are being answered", || async { metrics.http.requests_in_flight.get() == 2 }).await;
        let reply = service.get("/customers").send_unchecked().await.expect(503);
        assert_eq!((reply.body["code"].as_str(), reply.header("Retry-After")), (Some("SERVICE_UNAVAILABLE"), "1"));
        service.get("/openapi.json").send_unchecked().await.expect(200);
        permits.add_permits(100);
        service.get("/health").send_unchecked().await.expect(200);
    };
    let ((first, second), ()) = tokio::join!(answers, beyond);
    assert!(first.status == 200 && second.status == 200);
    service.get("/customers").send_unchecked().await.expect(200);
    assert!(metrics.text().contains("crm_http_refused_total{limit=\"requests_in_flight\"} 1\n"));
    assert_eq!(metrics.http.requests_in_flight.get(), 0);
}

#[tokio::test]
async fn a_request_that_never_ends_is_503_after_ten_seconds() {
    let service = Service::start().await.with_operations(waits(&Arc::new(Semaphore::new(0))));
    let asked = tokio::time::Instant::now();
    let (read, write) = tokio::join!(
        service.get("/customers").send_unchecked(),
        service.post("/customers", json!({ "name": "x" })).send_unchecked(),
    );
    assert!(asked.elapsed() >= Duration::from_secs(10), "after {:?}", asked.elapsed());
    read.expect(503);
    write.refused(503, "send it again with the same X-Request-ID");
    assert!(service.app.metrics().text().contains("crm_http_refused_total{limit=\"request_time\"} 2\n"));
}

#[tokio::test]
async fn readers_that_wait_for_events_leave_their_places_to_others() {
    let service = Service::with(&[("CRM_REQUESTS_IN_FLIGHT", "1")]).await;
    let metrics = Arc::clone(service.app.metrics());
    let reader = async { service.get("/events?wait=3").send().await.expect(200) };
    let writer = async {
        within(30, "the reader waits", async || service.app.events().waiting_tenants() == ["default"]).await;
        within(30, "it gives its place back", async || metrics.http.requests_in_flight.get() == 0).await;
        service.customer().await;
    };
    let (page, ()) = tokio::join!(reader, writer);
    assert!(page.status == 200);
}

#[tokio::test]
async fn a_tenant_has_half_of_the_places_and_the_rest_is_for_others() {
    let service = Service::with(&[("CRM_REQUESTS_IN_FLIGHT", "4")]).await;
    let create = |tenant: &str| service.post("/customers", json!({ "name": "x" })).tenant(tenant).send();
    // They begin one after the other, before any of them is answered.
    let of_one = futures_util::future::join_all((0..4).map(|_| create("busy")));
    let (of_one, other) = tokio::join!(of_one, create("quiet"));
    other.expect(201);
    let (created, refused): (Vec<_>, Vec<_>) = of_one.into_iter().partition(|reply| reply.status == 201);
    assert_eq!((created.len(), refused.len()), (2, 2));
    for reply in refused {
        reply.refused(429, "at most 2 requests of a tenant");
    }
    let counted = r#"crm_http_refused_total{limit="tenant_requests_in_flight"} 2"#;
    assert!(service.app.metrics().text().contains(counted), "{}", service.app.metrics().text());
    // Their places are free again.
    create("busy").await.expect(201);
}
