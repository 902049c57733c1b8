//! Lines about an event, in and out: they name it, its tenant and its trace.

use std::sync::Arc;

use crm::telemetry::LogFormat;
use serde_json::{Value, json};

use crate::harness::{
    Log, Service, UNKNOWN_ID,
    broker::{MemoryBroker, drain, relay_to},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What a line says of its event.
fn names(line: &Value) -> [Option<&str>; 4] {
    ["event_id", "event_type", "tenant_id", "trace_id"].map(|name| line[name].as_str())
}

#[tokio::test]
async fn a_line_about_a_consumed_event_names_what_can_be_read_of_it() {
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    let whole = json!({ "eventId": "e-1", "eventType": "erp.contract.signed", "timestamp": "2026-01-31T09:30:00Z",
        "traceId": TRACE, "data": { "tenantId": "acme", "customerId": UNKNOWN_ID } });
    let mut partly = whole.clone();
    (partly["eventId"], partly["data"]["tenantId"], partly["traceId"]) = (json!("a b"), json!(["acme"]), json!("0"));
    let events = [whole.to_string(), partly.to_string(), "no JSON".to_owned(), json!([whole]).to_string()];
    broker.state().inbound.extend(events.map(String::into_bytes));
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    let mut inbound = service.inbound();
    inbound.retry_policy.retries = 0;
    inbound.consume(&broker).await;
    let lines = log.saying("an event of the platform is set apart");
    let named: Vec<_> = lines.iter().map(names).collect();
    assert_eq!(named.len(), 4, "{}", log.text());
    let kind = Some("erp.contract.signed");
    for expected in [[Some("e-1"), kind, Some("acme"), Some(TRACE)], [None, kind, None, None], [None; 4]] {
        assert!(named.contains(&expected), "{expected:?} is not among {named:?}");
    }
}

#[tokio::test]
async fn a_line_about_a_refused_event_names_it_its_tenant_and_its_trace() {
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    broker.state().refused.push("crm.customer.created".to_owned());
    let call = service.post("/customers", json!({ "name": "x" })).tenant("acme");
    call.header("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01")).send().await.expect(201);
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    drain(&service.app, &mut relay_to(&service.app, Arc::new(broker.clone()))).await;
    let lines = log.saying("an event cannot be published");
    assert_eq!(lines.len(), 1, "{}", log.text());
    let [id, kind, tenant, trace] = names(&lines[0]);
    assert_eq!((kind, tenant, trace), (Some("crm.customer.created"), Some("acme"), Some(TRACE)));
    let feed = service.get("/events").tenant("acme").send().await.expect(200);
    assert_eq!(id, feed.body["data"][0]["eventId"].as_str(), "{}", feed.body);
}
