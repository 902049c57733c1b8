//! Logs: one flat JSON object a line, which identifies its request and its trace.

use crm::{
    http::header::text_once,
    service::private_service,
    telemetry::{LogFormat, trace::Trace},
};
use poem::{
    Endpoint, Request,
    http::{HeaderMap, HeaderValue},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Log, START, Service, StoredPii, id};

/// The example of the W3C Trace Context specification.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// The line that ends the only request since the log was cleared.
fn answered(log: &Log) -> Value {
    let mut lines = log.saying("answered");
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.pop().unwrap()
}

/// The path of a customer whose phone number cannot be decrypted: each request for it fails.
async fn unreadable_customer(service: &Service) -> String {
    let body = json!({ "name": "x", "contactPhone": "13812345678" });
    let place =
        StoredPii::new("customers", "contact_phone", &id(&service.create("/customers", body).await, "customerId"));
    place.write(&service.database.connect().await, "110").await;
    place.path()
}

#[tokio::test]
async fn a_request_logs_one_flat_line_with_all_its_fields() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    for (path, route) in [
        (format!("/customers/{customer}?x=1"), "/customers/{customer_id}"),
        ("/customers?page=2".to_owned(), "/customers"),
        ("/audit-logs".to_owned(), "/audit-logs"),
    ] {
        log.clear();
        let call = service.get(&path).request_id("r-1").tenant("acme").header("traceparent", &traceparent);
        let reply = call.send().await;
        assert_eq!(log.lines().len(), 1, "{}", log.text());
        let line = answered(&log);
        assert!(line.as_object().unwrap().values().all(|value| !value.is_object() && !value.is_array()), "{line}");
        for (field, value) in [
            ("level", json!("INFO")),
            ("message", json!("answered")),
            ("target", json!("crm::http")),
            ("trace_id", json!(TRACE)),
            ("request_id", json!("r-1")),
            ("tenant_id", json!("acme")),
            ("actor", json!("tester")),
            ("method", json!("GET")),
            ("route", json!(route)),
            ("status", json!(reply.status.as_u16())),
        ] {
            assert_eq!(line[field], value, "{field} of {line}");
        }
        let duration = line["duration_ms"].as_f64().unwrap();
        assert!(
            duration > 0.0 && line["duration_ms"].to_string().len() <= duration.trunc().to_string().len() + 3,
            "{line}"
        );
        assert!(reply.header("traceparent").contains(line["span_id"].as_str().unwrap()), "{line}");
        chrono::DateTime::parse_from_rfc3339(line["timestamp"].as_str().unwrap()).unwrap();
        let mut names: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        // `name` is that of the span: `request`.
        let all = [
            "actor",
            "duration_ms",
            "level",
            "message",
            "method",
            "name",
            "request_id",
            "route",
            "span_id",
            "status",
            "target",
            "tenant_id",
            "timestamp",
            "trace_id",
        ];
        assert_eq!(names, all);
        for name in names {
            assert_eq!(log.text().matches(&format!("\"{name}\":")).count(), 1, "{name} is repeated in {}", log.text());
        }
    }
}

#[tokio::test]
async fn every_request_logs_one_line_whatever_its_status() {
    let service = Service::start().await;
    let customer = service.customer().await;
    let unreadable = unreadable_customer(&service).await;
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    for (call, status, route) in [
        (service.post("/customers", json!({ "name": "x" })), 201, "/customers"),
        (service.patch(&format!("/customers/{customer}"), json!({ "name": "y" })), 200, "/customers/{customer_id}"),
        (service.post("/customers", json!({ "nam": "x" })), 400, "/customers"),
        (service.get("/customers").token("x"), 401, "/customers"),
        (service.get("/customers").claims(json!({ "scope": "crm:write" })), 403, "/customers"),
        (service.get("/customers/x"), 404, "/customers/{customer_id}"),
        (service.get("/nowhere/13812345678"), 404, "none"),
        (service.delete("/customers"), 405, "/customers"),
        (service.post("/customers", json!({})).header("Content-Type", "text/plain"), 415, "/customers"),
        (service.get(&unreadable), 500, "/customers/{customer_id}"),
        (service.get("/openapi.json").without("Authorization"), 200, "/openapi.json"),
        (service.get("/docs/").without("Authorization"), 200, "/docs/"),
    ] {
        log.clear();
        let reply = call.send().await.expect(status);
        let line = answered(&log);
        assert_eq!((&line["status"], &line["route"]), (&json!(status), &json!(route)), "{line}");
        assert_eq!(line["request_id"], reply.header("X-Request-ID"));
        assert_eq!(line["level"], "INFO");
    }
}

/// A probe a second would be 86,400 lines a day.
#[tokio::test]
async fn probes_are_logged_at_debug_alone() {
    let service = Service::start().await;
    for (filter, lines) in [("info", 0), ("debug", 1)] {
        let (log, _guard) = Log::of_this_thread(filter, LogFormat::Json);
        for path in ["/health", "/livez", "/readyz"] {
            log.clear();
            service.get(path).without("Authorization").send().await.expect(200);
            assert_eq!(log.saying("answered").len(), lines, "{path}: {}", log.text());
        }
        // What scrapes metrics comes as often; where there are none, it is a request like any other.
        log.clear();
        let scrape = Request::builder().uri_str("/metrics").finish();
        assert_eq!(private_service(&service.app).get_response(scrape).await.status(), 200);
        assert_eq!(log.saying("answered").len(), lines, "{}", log.text());
        log.clear();
        service.get("/metrics").send().await.expect(404);
        assert_eq!(log.saying("answered").len(), 1, "{}", log.text());
    }
}

#[tokio::test]
async fn a_401_is_logged_with_its_reason_and_without_the_token() {
    let service = Service::start().await;
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    let (expired, early) = (json!({ "exp": START / 1000 - 3600 }), json!({ "nbf": START / 1000 + 3600 }));
    for (call, reason) in [
        (service.get("/customers").without("Authorization"), "is required"),
        (service.get("/customers").token("canary"), "Authorization: "),
        (service.get("/customers").claims(expired), "expired"),
        (service.get("/customers").claims(early), "Authorization: "),
        (service.get("/customers").claims(json!({ "aud": "canary" })), "audience"),
    ] {
        log.clear();
        let reply = call.send().await.expect(401);
        let lines = log.saying("refused");
        assert_eq!(lines.len(), 1, "{}", log.text());
        let said = lines[0]["reason"].as_str().unwrap();
        assert!(said.contains(reason), "{said}");
        assert_eq!(lines[0]["reason"], reply.body["details"]);
        assert!(!log.text().contains("canary") && !log.text().contains("eyJ"), "{}", log.text());
    }
}

#[tokio::test]
async fn refusals_and_duplicates_log_warnings_and_faults_log_errors() {
    let service = Service::start().await;
    service.post("/customers", json!({ "name": "x" })).request_id("once").send().await.expect(201);
    let unreadable = unreadable_customer(&service).await;
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    let expired = json!({ "exp": START / 1000 - 3600 });
    let again = service.post("/customers", json!({ "name": "x" })).request_id("once");
    for (call, status, level, code, is_known) in [
        (service.get("/customers").without("Authorization"), 401, "WARN", "Unauthorized", false),
        (service.get("/customers").claims(expired), 401, "WARN", "Unauthorized", true),
        (service.get("/customers").claims(json!({ "scope": "crm:write" })), 403, "WARN", "Forbidden", true),
        (again, 409, "WARN", "IdempotentConflict", true),
        (service.get(&unreadable), 500, "ERROR", "InternalError", true),
    ] {
        log.clear();
        let reply = call.send().await.expect(status);
        let lines = log.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!((lines[0]["level"].as_str(), lines[0]["code"].as_str()), (Some(level), Some(code)), "{lines:?}");
        assert_eq!(lines[0]["message"], if level == "WARN" { "refused" } else { "failed" });
        for line in &lines {
            assert_eq!(line["request_id"], reply.header("X-Request-ID"), "{line}");
            assert!(reply.header("traceparent").contains(line["trace_id"].as_str().unwrap()), "{line}");
            assert!(line["method"].is_string(), "{line}");
            let known = (line["tenant_id"] == "default", line["actor"] == "tester");
            assert_eq!(known, (is_known, is_known), "{line}");
        }
    }
    for (path, status) in [("/customers/x", 404), ("/customers?page=x", 400)] {
        log.clear();
        service.get(path).send().await.expect(status);
        assert_eq!(log.lines().len(), 1, "a client's mistake has no line of its own: {}", log.text());
    }
}

#[tokio::test]
async fn at_level_error_a_line_still_identifies_its_request() {
    let service = Service::start().await;
    let unreadable = unreadable_customer(&service).await;
    let (log, _guard) = Log::of_this_thread("error", LogFormat::Json);
    service.get("/customers").token("x").send().await.expect(401);
    assert_eq!(log.text(), "");
    let call = service.get(&unreadable).request_id("r-9").header("traceparent", &format!("00-{TRACE}-{PARENT}-00"));
    call.send().await.expect(500);
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for (field, value) in [
        ("level", "ERROR"),
        ("request_id", "r-9"),
        ("trace_id", TRACE),
        ("tenant_id", "default"),
        ("actor", "tester"),
        ("method", "GET"),
    ] {
        assert_eq!(lines[0][field], value, "{}", lines[0]);
    }
}

#[tokio::test]
async fn the_text_format_has_one_line_per_request_with_all_fields() {
    let service = Service::start().await;
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Text);
    service.get("/customers").request_id("r-7").send().await.expect(200);
    let text = log.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in ["INFO", "answered", "r-7", "default", "tester", "GET", "/customers", "200", "trace_id", "duration_ms"]
    {
        assert!(text.contains(part), "{text} has no {part}");
    }
}

#[tokio::test]
async fn libraries_log_warnings_only_whatever_the_filter() {
    let service = Service::start().await;
    let (log, _guard) = Log::of_this_thread("trace,sqlx=trace,sea_orm=trace,poem=trace", LogFormat::Json);
    tracing::info!(target: "sqlx::query", "SELECT");
    tracing::trace!(target: "poem", "headers");
    tracing::info!(target: "crmx", "not ours");
    tracing::warn!(target: "sqlx", "slow");
    tracing::trace!(target: "crm::somewhere", "ours");
    let messages = |log: &Log| {
        let lines = log.lines();
        lines.iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(messages(&log), ["slow", "ours"]);
    log.clear();
    service.get("/customers").send().await.expect(200);
    let of_others = log.lines().into_iter().filter(|line| !line["target"].as_str().unwrap().starts_with("crm"));
    assert_eq!(of_others.collect::<Vec<_>>(), Vec::<Value>::new());
}

/// The trace of a request with these `traceparent` headers.
fn trace(values: &[&str]) -> Trace {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append("traceparent", HeaderValue::from_str(value).unwrap());
    }
    Trace::of(text_once(&headers, "traceparent"), Uuid::from_u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677))
}

#[test]
fn a_valid_traceparent_is_continued_with_a_new_span() {
    for (flags, kept) in [("00", "00"), ("01", "01"), ("03", "01"), ("ff", "01"), ("fe", "00")] {
        let continued = trace(&[&format!("00-{TRACE}-{PARENT}-{flags}")]);
        assert_eq!(continued.id(), TRACE);
        assert_eq!(continued.traceparent(), format!("00-{TRACE}-0011223344556677-{kept}"));
    }
    for later in ["01", "02", "cc", "fe"] {
        for more in ["", "-", "-what-the-future-will-be-like", "-00-00"] {
            let continued = trace(&[&format!("{later}-{TRACE}-{PARENT}-01{more}")]);
            // A later version is answered in version 00.
            assert_eq!(continued.traceparent(), format!("00-{TRACE}-0011223344556677-01"), "{later} {more}");
        }
    }
}

#[test]
fn a_malformed_traceparent_starts_a_new_trace() {
    let valid = format!("00-{TRACE}-{PARENT}-01");
    let zeroes = "0".repeat(32);
    let new = "0123456789abcdef0011223344556677";
    let malformed = [
        String::new(),
        " ".to_owned(),
        TRACE.to_owned(),
        format!("00-{TRACE}-{PARENT}"),
        format!("00-{TRACE}-{PARENT}-"),
        format!("00-{TRACE}-{PARENT}-1"),
        format!("00-{TRACE}-{PARENT}-001"),
        format!("00-{TRACE}-{PARENT}-0g"),
        format!("00-{TRACE}-{PARENT}-+1"),
        format!("00-{}-{PARENT}-01", &TRACE[1..]),
        format!("00-{TRACE}0-{PARENT}-01"),
        format!("00-{TRACE}-{}-01", &PARENT[1..]),
        format!("00-{TRACE}-{PARENT}0-01"),
        format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
        format!("00-{TRACE}-{}-01", PARENT.to_uppercase()),
        format!("00-{TRACE}-{PARENT}-0A"),
        format!("00-{}g-{PARENT}-01", &TRACE[1..]),
        format!("00-{zeroes}-{PARENT}-01"),
        format!("00-{TRACE}-{}-01", &zeroes[..16]),
        format!("ff-{TRACE}-{PARENT}-01"),
        format!("FE-{TRACE}-{PARENT}-01"),
        format!("0-{TRACE}-{PARENT}-01"),
        format!("000-{TRACE}-{PARENT}-01"),
        format!("{valid}-"),
        format!("{valid}-00"),
        format!("01-{TRACE}-{PARENT}-01what"),
        format!("{valid},{valid}"),
        format!("-{valid}"),
        valid.replace('-', "_"),
        format!("{TRACE}-00-{PARENT}-01"),
    ];
    for value in &malformed {
        let replaced = trace(&[value]);
        assert_eq!(replaced.traceparent(), format!("00-{new}-0011223344556677-00"), "{value:?}");
        assert_eq!(replaced.id(), new);
    }
    for repeated in [[valid.as_str(), valid.as_str()], [valid.as_str(), ""]] {
        assert_eq!(trace(&repeated).id(), new);
    }
    assert_eq!(trace(&[]).id(), new);
    assert_eq!(trace(&[&valid]).id(), TRACE);
}

#[tokio::test]
async fn log_reply_and_audit_entry_share_the_trace_id() {
    let service = Service::start().await;
    let (log, _guard) = Log::of_this_thread("info", LogFormat::Json);
    let valid = format!("00-{TRACE}-{PARENT}-01");
    for (sent, is_continued) in [(Some(valid.as_str()), true), (Some("00-x-y-01"), false), (None, false)] {
        log.clear();
        let call = service.post("/customers", json!({ "name": "x" }));
        let call = if let Some(sent) = sent { call.header("traceparent", sent) } else { call };
        let reply = call.send().await.expect(201);
        let parts: Vec<_> = reply.header("traceparent").split('-').collect();
        let [version, trace, span, flags] = parts[..] else { panic!("{parts:?}") };
        assert_eq!((version, trace.len(), span.len(), flags.len()), ("00", 32, 16, 2));
        assert_ne!(span, PARENT);
        assert_eq!((trace == TRACE, flags == "01"), (is_continued, is_continued));
        assert_eq!(answered(&log)["trace_id"], trace);
        let customer = id(&reply.body, "customerId");
        let entries = service.read(&format!("/audit-logs?resourceId={customer}")).await;
        assert_eq!(entries["data"][0]["traceId"], trace);
    }
    let repeated = service.get("/customers").header("traceparent", &valid).add_header("traceparent", valid.as_bytes());
    assert!(!repeated.send().await.expect(200).header("traceparent").contains(TRACE));
    let no_text = service.get("/customers").add_header("traceparent", b"\xff").send().await.expect(200);
    assert!(no_text.header("traceparent").starts_with("00-"));
}
