//! Spans: what a request, an event that is sent and an event that is taken look like to a collector of traces.

use crm::telemetry::LogFormat;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};

use crate::harness::{
    Log, Service, StoredPii,
    broker::{MemoryBroker, drain, relay_to},
    collector::{Arrived, Collector},
    id, on_postgres,
};

/// The example of the W3C Trace Context specification.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A service whose spans go to this collector at once.
async fn traced(collector: &Collector) -> Service {
    traced_with(collector, &[]).await
}

async fn traced_with(collector: &Collector, variables: &[(&str, &str)]) -> Service {
    let url = collector.url();
    let mut all = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "20")];
    all.extend(variables);
    Service::with(&all).await
}

/// The spans of a trace once the one of this name has arrived, which ends last.
async fn trace_of(collector: &Collector, last: &str) -> (Arrived, Vec<Arrived>) {
    let root = collector.span(last).await;
    let spans = collector.spans().into_iter().filter(|span| span.trace == root.trace).collect();
    (root, spans)
}

/// The only span of this name.
fn only<'s>(spans: &'s [Arrived], name: &str) -> &'s Arrived {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {spans:#?}");
    found[0]
}

fn assert_within(part: &Arrived, whole: &Arrived) {
    assert_eq!((&part.trace, &part.parent), (&whole.trace, &whole.id), "{part:?} is not of {whole:?}");
    // The clock that places a span and the one that measures it are read one after the other.
    let leeway = 1_000_000;
    assert!(part.begin <= part.end && whole.begin <= part.begin + leeway, "{part:?} in {whole:?}");
    assert!(part.end <= whole.end + leeway, "{part:?} in {whole:?}");
}

#[tokio::test]
async fn a_request_is_a_span_under_its_callers_one() {
    let collector = Collector::start().await;
    let service = traced(&collector).await;
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    let call = service.post("/customers", json!({ "name": "Acme", "contactPhone": "13812345678" })).tenant("acme");
    let reply = call.header("traceparent", &format!("00-{TRACE}-{PARENT}-01")).send().await.expect(201);
    let (server, spans) = trace_of(&collector, "POST /customers").await;
    assert_eq!((server.trace.as_str(), server.parent.as_str(), server.kind), (TRACE, PARENT, SpanKind::Server));
    let attributes: Vec<_> = server.attributes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let all = [
        ("http.request.method", json!("POST")),
        ("http.response.status_code", json!(201)),
        ("http.route", json!("/customers")),
        ("tenant.id", json!("acme")),
    ];
    assert_eq!(attributes, all);
    assert!(!server.failed);
    assert_eq!(server.resource["service.name"], "crm");
    assert_eq!(server.resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(reply.header("traceparent"), format!("00-{TRACE}-{}-01", server.id));
    let line = log.saying("answered").pop().unwrap();
    assert_eq!((&line["trace_id"], &line["span_id"]), (&json!(TRACE), &json!(server.id)));
    // Nothing of what was sent or shown, and no token.
    let all = format!("{spans:?}");
    assert!(!all.contains("Acme") && !all.contains("13812345678") && !all.contains("eyJ"), "{all}");
}

#[tokio::test]
async fn a_write_has_parts_for_its_token_its_turn_and_its_transaction() {
    let system = if on_postgres() { "postgresql" } else { "sqlite" };
    let collector = Collector::start().await;
    let service = traced(&collector).await;
    let customer = service.customer().await;
    let (server, spans) = trace_of(&collector, "POST /customers").await;
    assert_eq!(server.parent, "");
    for name in ["authenticate", "wait to write", "transaction"] {
        assert_within(only(&spans, name), &server);
    }
    let transaction = only(&spans, "transaction");
    let (waits, commit) = (only(&spans, "wait to write"), only(&spans, "commit"));
    assert_within(commit, transaction);
    // On PostgreSQL what is to be written is known before the transaction that others share.
    let begun = if on_postgres() { commit } else { transaction };
    assert!(waits.end <= begun.begin + 1_000_000 && !transaction.failed);
    for span in [transaction, commit] {
        assert_eq!((span.kind, &span.attributes["db.system.name"]), (SpanKind::Client, &json!(system)));
    }
    assert_within(only(&spans, "create crm.events"), transaction);

    service.forget_what_is_kept().await;
    let reply = service.get(&format!("/customers/{customer}")).send().await.expect(200);
    let (server, spans) = trace_of(&collector, "GET /customers/{customer_id}").await;
    assert_eq!(reply.header("traceparent"), format!("00-{}-{}-01", server.trace, server.id));
    let read = only(&spans, "read");
    assert_within(read, &server);
    assert_eq!(read.attributes["db.system.name"], system);
}

#[tokio::test]
async fn an_event_is_sent_under_the_change_that_made_it() {
    let collector = Collector::start().await;
    let service = traced(&collector).await;
    let broker = MemoryBroker::default();
    broker.state().unrouted = vec!["crm.customer.updated".to_owned()];
    let customer = service.customer().await;
    let mut relay = relay_to(&service.app, std::sync::Arc::new(broker.clone()));
    drain(&service.app, &mut relay).await;
    let create = collector.span("create crm.events").await;
    let send = collector.span("send crm.events").await;
    assert_eq!((&send.trace, &send.parent), (&create.trace, &create.id));
    assert_eq!((create.kind, send.kind), (SpanKind::Producer, SpanKind::Client));
    let message = broker.state().arrived[0].clone();
    assert_eq!(message.traceparent, format!("00-{}-{}-01", create.trace, create.id));
    for (span, operation) in [(&create, "create"), (&send, "send")] {
        for (name, value) in [
            ("messaging.operation.name", operation),
            ("messaging.operation.type", operation),
            ("messaging.destination.name", "crm.events"),
            ("messaging.message.id", &message.id.to_string()),
            ("crm.event.type", "crm.customer.created"),
        ] {
            assert_eq!(span.attributes[name], value, "{name} of {span:?}");
        }
    }
    assert_eq!(send.attributes["messaging.system"], "memory");
    assert!(!send.failed);

    collector.clear();
    let path = format!("/customers/{customer}");
    service.patch(&path, json!({ "name": "Other" })).send().await.expect(200);
    drain(&service.app, &mut relay).await;
    assert_eq!(collector.span("send crm.events").await.attributes["crm.outcome"], "unrouted");
    collector.clear();
    broker.state().refused = vec!["crm.customer.deleted".to_owned()];
    service.delete(&path).send().await.expect(204);
    drain(&service.app, &mut relay).await;
    let refused = collector.span("send crm.events").await;
    assert!(refused.failed && refused.attributes["error.type"] == "refused", "{refused:?}");
}

fn signed(id: &str, customer: &str) -> Value {
    json!({
        "eventId": id,
        "eventType": "erp.contract.signed",
        "timestamp": "2026-01-31T09:00:00Z",
        "data": { "tenantId": "default", "customerId": customer },
    })
}

/// Takes an event with this header, and returns the trace id that the audit trail has of the change, if there is one.
async fn take(service: &Service, traceparent: Option<&str>, event: &Value) -> Option<Value> {
    let broker = MemoryBroker::default();
    broker.state().traceparent = traceparent.map(str::to_owned);
    broker.state().inbound.push_back(event.to_string().into_bytes());
    service.inbound().consume(&broker).await;
    let entries = service.trail("").await;
    entries.iter().find(|entry| entry["requestId"] == event["eventId"]).map(|entry| entry["traceId"].clone())
}

#[tokio::test]
async fn an_event_is_taken_under_its_senders_span() {
    let collector = Collector::start().await;
    let service = traced(&collector).await;
    let customer = service.customer().await;
    collector.clear();

    let header = format!("00-{TRACE}-{PARENT}-01");
    assert_eq!(take(&service, Some(&header), &signed("e-1", &customer)).await, Some(json!(TRACE)));
    let (process, spans) = trace_of(&collector, "process crm.inbound").await;
    assert_eq!((process.trace.as_str(), process.parent.as_str(), process.kind), (TRACE, PARENT, SpanKind::Consumer));
    for (name, value) in [
        ("messaging.system", "memory"),
        ("messaging.operation.name", "process"),
        ("messaging.destination.name", "crm.inbound"),
        ("messaging.message.id", "e-1"),
        ("crm.event.type", "erp.contract.signed"),
    ] {
        assert_eq!(process.attributes[name], value, "{name} of {process:?}");
    }
    assert_within(only(&spans, "transaction"), &process);
    // What it leads to is sent in the same trace.
    assert_within(only(&spans, "create crm.events"), only(&spans, "transaction"));

    // Once more: it changes nothing.
    collector.clear();
    take(&service, Some(&header), &signed("e-1", &customer)).await;
    let (process, spans) = trace_of(&collector, "process crm.inbound").await;
    assert_eq!((&process.attributes["crm.outcome"], process.failed), (&json!("duplicate"), false));
    assert_eq!(only(&spans, "transaction").attributes["crm.outcome"], "refused");

    // Without a header, the trace that the event names; without that, a new one, which the trail has too.
    for named in [Some("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), None] {
        collector.clear();
        let other = service.customer().await;
        let mut event = signed(named.unwrap_or("e-3"), &other);
        event["traceId"] = json!(named);
        let trail = take(&service, None, &event).await.unwrap();
        let process = collector.span("process crm.inbound").await;
        assert_eq!((json!(process.trace), process.parent.as_str()), (trail, ""));
        assert_eq!(named.unwrap_or(&process.trace), process.trace);
    }

    collector.clear();
    let mut wrong = signed("e-4", &customer);
    wrong["data"] = json!({ "tenantId": "default", "customerId": "13812345678" });
    take(&service, None, &wrong).await;
    let process = collector.span("process crm.inbound").await;
    assert!(process.failed && process.attributes["error.type"] == "rejected", "{process:?}");
    assert!(!format!("{process:?}").contains("13812345678"));
}

#[tokio::test]
async fn refusals_are_no_failures_of_the_service_and_paths_are_not_shown() {
    let collector = Collector::start().await;
    let service = traced(&collector).await;
    let customer = service.create("/customers", json!({ "name": "x", "contactPhone": "13812345678" })).await;
    for (call, status, name) in [
        (service.get("/customers").token("x"), 401, "GET /customers"),
        (service.get("/customers/x"), 404, "GET /customers/{customer_id}"),
        (service.get("/nowhere/13812345678"), 404, "GET"),
        (service.call("PURGE".parse().unwrap(), "/nowhere/13812345678"), 404, "HTTP"),
    ] {
        collector.clear();
        call.send_unchecked().await.expect(status);
        let span = collector.span(name).await;
        assert_eq!((&span.attributes["http.response.status_code"], span.failed), (&json!(status), false), "{span:?}");
        assert!(!format!("{:?}", collector.spans()).contains("13812345678"));
        assert_eq!(span.attributes.contains_key("http.route"), name.contains('/'), "{span:?}");
    }
    collector.clear();
    service.get("/customers").token("x").send().await.expect(401);
    let refused = collector.span("authenticate").await;
    assert!(refused.failed && refused.attributes["error.type"] == "refused", "{refused:?}");

    let place = StoredPii::new("customers", "contact_phone", &id(&customer, "customerId"));
    place.write(&service.database.connect().await, "110").await;
    collector.clear();
    service.get(&place.path()).send().await.expect(500);
    let failed = collector.span("GET /customers/{customer_id}").await;
    assert!(failed.failed && failed.attributes["error.type"] == "500", "{failed:?}");
}

#[tokio::test]
async fn what_the_caller_does_not_record_is_not_recorded() {
    let collector = Collector::start().await;
    let service = traced(&collector).await;
    let ask = async |service: &Service, flags: &str| {
        let call = service.get("/customers").header("traceparent", &format!("00-{TRACE}-{PARENT}-{flags}"));
        call.send().await.expect(200).header("traceparent").to_owned()
    };
    assert!(ask(&service, "00").await.ends_with("-00"));
    assert!(ask(&service, "01").await.ends_with("-01"));
    // Probes come all day long.
    service.get("/livez").without("Authorization").send().await.expect(200);
    let span = collector.span("GET /customers").await;
    assert_eq!(span.trace, TRACE);
    assert!(collector.spans().iter().all(|span| !span.name.contains("livez")));

    // The configured sampler may decide otherwise.
    for (sampler, argument, flags, recorded) in [
        ("always_on", "", "00", "01"),
        ("always_off", "", "01", "00"),
        ("traceidratio", "0", "01", "00"),
        ("traceidratio", "1", "00", "01"),
        ("parentbased_always_off", "", "01", "01"),
    ] {
        let variables = [("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", argument)];
        let service = traced_with(&collector, &variables).await;
        let traceparent = ask(&service, flags).await;
        assert!(traceparent.ends_with(&format!("-{recorded}")), "{sampler}: {traceparent}");
    }
}
