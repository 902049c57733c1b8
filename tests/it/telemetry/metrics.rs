//! The metrics of a service: which there are, from which value on, and what their labels tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use crm::{service::private_service, telemetry::metrics::Exposition};
use poem::{Endpoint, Request, http::Method};
use serde_json::json;

use crate::harness::{
    Process, Service, TestDatabase, UNKNOWN_ID,
    contract::Contract,
    contract_walk::{changing_body, create_resources, operations, path, request},
    median,
    metrics::Scrape,
    within,
};

/// What is above zero in a service that has done nothing yet: what it is, what its start has done, and what its tasks are doing.
const NOT_ZERO: &[&str] = &[
    "process_",
    "crm_build_info",
    "crm_http_connections",
    "crm_http_requests_in_flight_max",
    "crm_auth_keys",
    "crm_database_connections_in_use",
    "crm_database_connections_max",
    "crm_writes_waiting",
    "crm_database_works",
    "crm_write_wait_seconds",
    "crm_row_cache_lookups",
    "crm_page_cache_lookups",
    "crm_write_group_size",
    "crm_write_commit_seconds",
    "crm_retention_finished_timestamp_seconds",
    "crm_business_figures_refreshed_seconds",
];

/// The labels that there are, besides those of requests.
const LABELS: &[&str] = &[
    "commit",
    "contract",
    "currency",
    "day",
    "endpoint",
    "kind",
    "le",
    "limit",
    "operation",
    "outcome",
    "pool",
    "reason",
    "result",
    "stage",
    "status",
    "task",
    "why",
    "version",
];

/// A service that has read everything once.
async fn fresh(database: &TestDatabase) -> (Process, Scrape) {
    let process = Process::with("serve", "serving", database, &[("CRM_METRICS_ADDR", "127.0.0.1:0")]);
    let read = async || {
        let scrape = Scrape::from(&process.private).await.unwrap();
        scrape.sum("crm_business_figures_refreshed_seconds", &[]) > 0.0
    };
    within(30, "the numbers of all tenants are read", read).await;
    let scrape = Scrape::from(&process.private).await.unwrap();
    (process, scrape)
}

#[tokio::test]
async fn every_metric_is_there_at_zero_from_the_start_and_documented() {
    let database = TestDatabase::new().await;
    let (process, scrape) = fresh(&database).await;
    for (name, family) in &scrape.families {
        assert!(!family.help.is_empty() && !family.kind.is_empty(), "{name}: {family:?}");
    }
    for sample in &scrape.samples {
        assert!(scrape.family(sample).is_some(), "{sample:?} is of no family");
        let is_of_scraper = sample.labels.get("route").is_some_and(|route| route == "/metrics");
        let is_exception = NOT_ZERO.iter().any(|begin| sample.name.starts_with(begin)) || is_of_scraper;
        assert!(sample.value == 0.0 || is_exception, "{sample:?}");
    }
    for operation in Contract::emitted().operations() {
        let (method, route) = (operation.method.as_str(), operation.template.as_str());
        for status in operation.definition["responses"].as_object().unwrap().keys() {
            let labels = [("method", method), ("route", route), ("status", status.as_str())];
            assert!(scrape.sum("crm_http_requests_total", &labels) == 0.0, "{labels:?}");
            if status.starts_with('2') {
                let buckets = scrape.all("crm_http_request_duration_seconds_bucket", &labels);
                let bounds: BTreeSet<&str> = buckets.map(|bucket| bucket.labels["le"].as_str()).collect();
                assert_eq!(bounds.len(), 12, "{labels:?}");
                assert!(["0.005", "10", "+Inf"].iter().all(|bound| bounds.contains(bound)), "{bounds:?}");
            }
        }
    }
    let told = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/delivery/README.md")).unwrap();
    let untold: Vec<_> = scrape.families.keys().filter(|name| !told.contains(&format!("`{name}"))).collect();
    assert!(untold.is_empty(), "delivery/README.md does not say what they are: {untold:?}");
    let section = told.split("\n## Metrics").nth(1).unwrap().split("\n## ").next().unwrap();
    let named = section.lines().filter_map(|line| line.strip_prefix("| `")).flat_map(|line| {
        line.split(" | ").next().unwrap_or_default().split('`').filter(|part| part.starts_with("crm_"))
    });
    let gone: Vec<_> =
        named.filter(|name| !scrape.families.contains_key(name.split('{').next().unwrap_or_default())).collect();
    assert!(gone.is_empty(), "delivery/README.md tells of {gone:?}, which there are not");
    assert_eq!(process.stop().await, Some(0));
}

/// Requests of all kinds for a tenant, among them some that no client of the contract sends.
async fn traffic(service: &Service, tenant: &str) {
    let ids = create_resources(service).await;
    for operation in operations(service) {
        let call = match operation.method == Method::PATCH {
            true => service.patch(&path(&operation, &ids), changing_body(service, &operation, &ids)),
            false => request(service, &operation, &ids),
        };
        let reply = call.send_unchecked().await;
        assert!(reply.status.is_success(), "{} {}: {}", operation.method, operation.template, reply.text);
    }
    for method in ["GET", "PUT", "BREW", "OPTIONS", "HEAD", "TRACE"] {
        for odd in
            ["/nowhere/at-all", "/customers/secret-name/..", "/%2e%2e/secret-name", &format!("/customers/{UNKNOWN_ID}")]
        {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            service.call(method, odd).tenant(tenant).query("phone=secret-name").send_unchecked().await;
        }
    }
    service.get("/customers").token("secret-name").send().await.expect(401);
}

#[tokio::test]
async fn labels_hold_no_tenant_id_or_path_whatever_is_asked() {
    let service = Service::start().await;
    let tenant = "tenant-with-a-secret-name";
    service.post("/customers", json!({ "name": "secret-name" })).tenant(tenant).send().await.expect(201);
    traffic(&service, tenant).await;
    let scrape = Scrape::of(&service);
    assert!(!scrape.text.contains("secret") && !scrape.text.contains("default"), "{}", scrape.text);
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];
    let contract = crm::service::contract::contract();
    let routes: BTreeSet<&str> = contract.paths().templates().chain(["none"]).collect();
    let operations = Contract::emitted().operations();
    for sample in &scrape.samples {
        for (label, value) in &sample.labels {
            match label.as_str() {
                "method" => assert!(methods.contains(&value.as_str()), "{sample:?}"),
                "route" => assert!(routes.contains(value.as_str()), "{sample:?}"),
                "status" if sample.name.starts_with("crm_http_") => assert!(value.parse::<u16>().is_ok(), "{sample:?}"),
                _ => assert!(LABELS.contains(&label.as_str()), "{sample:?}"),
            }
        }
    }
    for operation in &operations {
        let (status, method) = (operation.success().to_string(), operation.method.as_str());
        let labels = [("method", method), ("route", operation.template.as_str()), ("status", &status)];
        let (replies, seconds) = ("crm_http_requests_total", "crm_http_request_duration_seconds_count");
        assert!(scrape.sum(replies, &labels) >= 1.0, "{labels:?}");
        assert_eq!(scrape.sum(replies, &labels), scrape.sum(seconds, &labels), "{labels:?}");
    }
    assert_eq!(scrape.sum("crm_http_requests_under_way", &[]), 0.0);
    assert!(scrape.sum("crm_http_requests_total", &[("method", "other"), ("status", "405")]) >= 1.0);
    assert!(scrape.sum("crm_http_requests_total", &[("route", "none"), ("status", "404")]) >= 4.0);
    checked_by_promtool(&scrape.text);
}

/// Has `promtool` (Debian: `prometheus`) look at a scrape, where it is installed.
fn checked_by_promtool(text: &str) {
    let promtool =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut promtool) = promtool else {
        assert!(crate::harness::variable("CI").is_none(), "promtool is not installed");
        return eprintln!("SKIPPED: promtool check metrics, because promtool is not installed");
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn metrics_are_in_the_format_that_accept_asks_for() {
    let service = Service::start().await;
    let private = private_service(&service.app);
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                      text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    for (accept, exposition) in [
        ("", Exposition::Text),
        ("*/*", Exposition::Text),
        ("text/plain;version=0.0.4", Exposition::Text),
        ("text/plain; version=0.0.4; charset=utf-8", Exposition::Text),
        ("application/openmetrics-text;q=0", Exposition::Text),
        ("text/plain, application/openmetrics-text;q=0.5", Exposition::Text),
        ("application/vnd.google.protobuf", Exposition::Text),
        ("Application/OpenMetrics-Text; version=1.0.0", Exposition::OpenMetrics),
        ("text/plain;q=0.1, application/openmetrics-text ;q=0.9", Exposition::OpenMetrics),
        (prometheus, Exposition::OpenMetrics),
    ] {
        let mut request = Request::builder().uri_str("/metrics");
        if !accept.is_empty() {
            request = request.header("Accept", accept);
        }
        let mut reply = private.get_response(request.finish()).await;
        let text = reply.take_body().into_string().await.unwrap();
        let (media_type, is_open) = (reply.content_type().unwrap_or_default(), text.ends_with("# EOF\n"));
        let expected = (exposition.media_type(), exposition == Exposition::OpenMetrics);
        assert_eq!((media_type, is_open), expected, "for {accept:?}");
        let counter = if is_open { "# TYPE crm_http_refused counter" } else { "# TYPE crm_http_refused_total counter" };
        assert!(text.contains(counter), "{text}");
    }
}

#[tokio::test]
async fn a_request_is_counted_while_it_waits_and_when_its_client_is_gone() {
    let service = Service::start().await;
    let of_events = [("method", "GET"), ("route", "/events")];
    service.get("/events?wait=30").hang_up_after(200).await;
    let scrape = Scrape::of(&service);
    assert_eq!(scrape.sum("crm_http_requests_abandoned_total", &[]), 1.0);
    assert_eq!(scrape.sum("crm_http_requests_total", &of_events), 0.0);
    let waits = async { service.get("/events?wait=30").send().await.expect(200) };
    let looks = async {
        within(30, "it is counted", async || Scrape::of(&service).sum("crm_http_event_waiters", &[]) == 1.0).await;
        let scrape = Scrape::of(&service);
        assert_eq!(scrape.sum("crm_http_requests_under_way", &of_events), 1.0);
        service.app.events().stop_waiting();
    };
    tokio::join!(waits, looks);
    let scrape = Scrape::of(&service);
    assert_eq!(scrape.sum("crm_http_requests_under_way", &of_events), 0.0);
    assert_eq!(scrape.sum("crm_http_requests_total", &of_events), 1.0);
}

#[tokio::test]
async fn the_build_is_that_of_the_program() {
    let database = TestDatabase::new().await;
    let (process, scrape) = fresh(&database).await;
    let built = scrape.all("crm_build_info", &[]).next().unwrap();
    let contract = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/api_contract.yaml")).unwrap();
    let hash: String =
        sha2::Digest::finalize(sha2::Digest::chain_update(<sha2::Sha256 as sha2::Digest>::new(), contract))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
    let expected = BTreeMap::from([
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("commit".to_owned(), option_env!("CRM_BUILD_COMMIT").unwrap_or("unknown").to_owned()),
        ("contract".to_owned(), hash),
    ]);
    assert_eq!((&built.labels, built.value), (&expected, 1.0));
    let own = std::fs::read_dir(format!("/proc/{}/fd", process.child.id())).unwrap().count() as f64;
    assert!((scrape.sum("process_open_fds", &[]) - own).abs() < 8.0, "{own} are open");
    assert!(
        scrape.sum("process_resident_memory_bytes", &[]) > 1e6 && scrape.sum("process_cpu_seconds_total", &[]) > 0.0
    );
    let uptime = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
        - scrape.sum("process_start_time_seconds", &[]);
    assert!((-2.0..120.0).contains(&uptime), "started {uptime} s ago");
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test]
async fn writes_and_connections_are_counted() {
    let service = Service::on(TestDatabase::sqlite(), &[]).await;
    let before = Scrape::of(&service);
    let creates = (0..40).map(|_| service.post("/customers", json!({ "name": "x" })).send_unchecked());
    futures_util::future::join_all(creates).await;
    let after = Scrape::of(&service);
    let grown = |name: &str| after.sum(name, &[]) - before.sum(name, &[]);
    assert_eq!((grown("crm_write_wait_seconds_count"), grown("crm_write_group_size_sum")), (40.0, 40.0));
    assert!(grown("crm_write_commit_seconds_count") < 40.0, "they share commits");
    assert_eq!(grown("crm_write_commit_seconds_count"), grown("crm_write_group_size_count"));
    assert!(grown("crm_write_commit_seconds_sum") > 0.0);
    assert_eq!((after.sum("crm_writes_waiting", &[]), grown("crm_write_failures_total")), (0.0, 0.0));
    let held = [service.app.database().snapshot().await.unwrap(), service.app.database().snapshot().await.unwrap()];
    assert_eq!(Scrape::of(&service).sum("crm_database_connections_in_use", &[("pool", "read")]), 2.0);
    drop(held);
    let again = Scrape::of(&service);
    assert_eq!(again.sum("crm_database_connections_in_use", &[("pool", "read")]), 0.0);
    assert_eq!(again.sum("crm_database_connections_max", &[("pool", "read")]), 4.0);
    for _ in 0..2 {
        service.post("/customers", json!({ "name": "x" })).request_id("the-same").send().await;
    }
    assert_eq!(Scrape::of(&service).sum("crm_idempotency_conflicts_total", &[]), 1.0);
}

#[tokio::test]
async fn counting_a_request_costs_a_twentieth_of_the_cheapest_reply_at_most() {
    const TIMES: u32 = 1000;
    let service = Service::start().await;
    let route = service.app.metrics().http.requests.route("/livez");
    let count = async || (0..TIMES).for_each(|_| route.begin("GET").answered(200, Duration::from_millis(1)));
    let counted = median(count).await / TIMES;
    let answered = median(async || drop(service.get("/livez").send_unchecked().await)).await;
    eprintln!("counting takes {counted:?}, answering {answered:?}");
    assert!(counted * 20 < answered, "counting takes {counted:?}, answering {answered:?}");
}
