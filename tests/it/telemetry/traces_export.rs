//! Where spans go: that requests never wait for it, what is lost is counted, and what the variables say.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use crm::{
    config::Config,
    telemetry::{
        span::{Parent, Span},
        spans::event,
        trace::Trace,
    },
};
use serde_json::json;
use uuid::Uuid;

use crate::harness::{
    Process, Service, TestDatabase,
    collector::{Answer, Collector},
    free_port, median, run_crm, within,
};

/// How many spans became of this, by the metrics.
fn spans(service: &Service, outcome: &str) -> u64 {
    let name = format!("crm_spans_total{{outcome=\"{outcome}\"}} ");
    let text = service.app.metrics().text();
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap()
}

#[tokio::test]
async fn without_an_endpoint_nothing_is_recorded_and_nothing_connected() {
    let collector = Collector::start().await;
    let url = collector.url();
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str());
    for variables in [
        &[][..],
        &[endpoint, ("OTEL_SDK_DISABLED", "true")],
        &[endpoint, ("OTEL_TRACES_EXPORTER", "none")],
        &[("OTEL_SERVICE_NAME", "crm"), ("OTEL_BSP_SCHEDULE_DELAY", "1")],
    ] {
        let service = Service::with(variables).await;
        let call = service.post("/customers", json!({ "name": "x" }));
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let reply = call.header("traceparent", traceparent).send().await.expect(201);
        // The caller's trace is continued all the same.
        assert!(
            reply.header("traceparent").starts_with(&traceparent[..35]) && reply.header("traceparent").ends_with("-01")
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
        service.app.spans().finish().await;
        assert_eq!(["exported", "failed", "dropped"].map(|outcome| spans(&service, outcome)), [0, 0, 0]);
    }
    assert_eq!(collector.connections(), 0);
}

/// All that a write does about spans, where there are none, beside the cheapest reply: in one run, so that a slow machine slows
/// both.
#[tokio::test]
async fn traces_that_are_off_cost_a_fiftieth_of_the_cheapest_reply_at_most() {
    const TIMES: u32 = 1000;
    let service = Service::start().await;
    let spans = service.app.spans();
    let write = async || {
        for _ in 0..TIMES {
            let mut trace = Trace::of(None, Uuid::nil());
            let began = black_box(spans.server(&mut trace, "POST", Some("/customers")));
            assert!(!began.is_recorded());
            let work = began.around(async {
                for part in ["authenticate", "wait to write"] {
                    drop(black_box(Span::of_current(part)));
                }
                for part in ["transaction", "commit"] {
                    Span::asking(part).around(std::future::ready(())).await;
                }
                event("crm.customer.created", Uuid::nil());
            });
            Parent::current().around(work).await;
        }
    };
    let trace = async || (0..TIMES).for_each(|_| drop(black_box(Trace::of(None, Uuid::nil()))));
    // A trace has its ids in any case.
    let took = median(write).await.saturating_sub(median(trace).await) / TIMES;
    let answered = median(async || drop(service.get("/livez").send_unchecked().await)).await;
    eprintln!("spans that are off take {took:?}, answering {answered:?}");
    assert!(took * 50 < answered, "spans that are off take {took:?}, answering {answered:?}");
}

#[tokio::test]
async fn a_collector_that_is_away_or_slow_delays_no_request() {
    let collector = Collector::start().await;
    let (url, away) = (collector.url(), format!("http://127.0.0.1:{}", free_port()));
    for (endpoint, answer) in [(&away, Answer::Taken), (&url, Answer::Never), (&url, Answer::Status("503 No"))] {
        collector.answer(answer);
        let service = Service::with(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
            ("OTEL_BSP_SCHEDULE_DELAY", "10"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "16"),
        ])
        .await;
        service.get("/customers").send().await.expect(200);
        let began = Instant::now();
        for _ in 0..40 {
            service.get("/customers").send().await.expect(200);
        }
        let took = began.elapsed();
        assert!(took < Duration::from_millis(1500), "{answer:?}: {took:?}");
        within(10, "spans that are lost", async || spans(&service, "failed") > 0).await;
        assert!(spans(&service, "dropped") > 0 && spans(&service, "exported") == 0);
        // The end waits for the collector, but not for ever.
        let began = Instant::now();
        service.app.spans().finish().await;
        assert!(began.elapsed() < Duration::from_secs(5), "{answer:?}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn spans_are_sent_at_the_end_of_the_process_with_the_headers() {
    let collector = Collector::start().await;
    let (database, url) = (TestDatabase::new().await, collector.url());
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=a%20canary,x-other=1"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.namespace=sales"),
        ("OTEL_SERVICE_NAME", "crm-eu"),
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
    ];
    let process = Process::with("serve", "serving", &database, &variables);
    let answer = process.client().await.call("POST", "/customers", "r-1", &json!({ "name": "x" })).await;
    assert_eq!(answer.status, 201);
    assert_eq!(collector.connections(), 0);
    assert_eq!(process.stop().await, Some(0));
    let span = collector.span("POST /customers").await;
    for (name, value) in [
        ("service.name", "crm-eu"),
        ("service.namespace", "sales"),
        ("deployment.environment.name", "test"),
        ("telemetry.sdk.language", "rust"),
    ] {
        assert_eq!(span.resource[name], value, "{name} of {:?}", span.resource);
    }
    let heads = collector.heads();
    assert!(heads.iter().all(|head| head.contains("x-api-key: a canary") && head.contains("x-other: 1")), "{heads:?}");
}

#[tokio::test]
async fn the_log_says_once_that_the_collector_takes_nothing_and_no_header() {
    let collector = Collector::start().await;
    collector.answer(Answer::Status("401 Unauthorized"));
    let (log, url) = (crate::harness::Log::of_this_process("info"), collector.url());
    let service = Service::with(&[
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{url}/v1/traces")),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=canary"),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
    ])
    .await;
    let ask_until = async |outcome: &str, count: u64| {
        within(20, outcome, async || {
            service.get("/customers").send().await.expect(200);
            spans(&service, outcome) > count
        })
        .await;
    };
    ask_until("failed", 0).await;
    ask_until("failed", spans(&service, "failed") + 5).await;
    let warned = log.saying("the collector does not take spans: they are lost");
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0]["cause"].as_str().unwrap().contains("401"), "{warned:?}");
    collector.answer(Answer::Taken);
    ask_until("exported", 0).await;
    assert_eq!(log.saying("the collector takes spans again").len(), 1);
    assert!(!log.text().contains("canary"));
}

#[test]
fn what_is_not_understood_is_a_warning_and_the_default_holds() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/base/");
    let read = |variables: &[(&str, &str)]| {
        let set: Vec<_> = variables.iter().copied().chain([endpoint]).collect();
        let lookup = |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        Config::read(&lookup).0.unwrap()
    };
    let plain = read(&[]);
    let export = plain.traces.clone().unwrap();
    assert_eq!(export.endpoint, "http://collector:4318/base/v1/traces");
    assert_eq!((export.queue, export.batch, export.delay), (2048, 512, Duration::from_secs(5)));
    let mut heard = 0;
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://user:canary@collector:4318"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_RESOURCE_ATTRIBUTES", "canary"),
    ] {
        let config = read(&[(name, value)]);
        let warnings: Vec<_> =
            config.warnings.iter().filter(|warning| warning.starts_with(&format!("{name}: "))).collect();
        assert_eq!(warnings.len(), 1, "{:?}", config.warnings);
        assert!(!warnings[0].contains("canary"));
        assert_eq!(format!("{:?}", config.traces), format!("{:?}", plain.traces), "{name}");
        heard += 1;
    }
    assert_eq!(heard, 10);
    // Neither shown nor printed.
    let variables = [
        endpoint,
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=canary"),
        ("CRM_JWT_SECRET", "a secret that is long enough, 32"),
    ];
    let shown = run_crm(&["config", "show"], &variables).stdout;
    assert!(shown.contains("x-key=***") && !shown.contains("canary"), "{shown}");
    assert!(!format!("{:?}", read(&variables[1..]).traces).contains("canary"));
}
