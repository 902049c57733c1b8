//! Probes and metrics, on the public listener and on the private one.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use crm::{database::migrate, service::private::PrivateListener, telemetry::metrics::Exposition};
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::{Value, json};

use crate::harness::{AMPLE, Process, Service, TestDatabase, start_and_stop};

const PROBES: [&str; 3] = ["/health", "/livez", "/readyz"];

const UP: &str = r#"{"status":"up","cell":"crm"}"#;

/// A raw reply: no client library interprets it.
#[derive(Debug)]
struct RawReply {
    status: u16,
    head: String,
    text: String,
}

impl RawReply {
    fn header(&self, name: &str) -> &str {
        let named = |line: &str| line.split_once(": ").is_some_and(|(own, _)| own.eq_ignore_ascii_case(name));
        self.head.lines().find(|line| named(line)).and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value)
    }

    fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

/// Sends a request on a new connection, and blocks this thread until it is answered.
fn ask(address: &str, method: &str, path: &str) -> RawReply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(AMPLE)).unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: crm\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, text) = reply.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    RawReply { status, head: head.to_owned(), text: text.to_owned() }
}

#[tokio::test]
async fn probes_need_no_token_and_answer_with_and_without_the_prefix() {
    let service = Service::start().await;
    for path in PROBES {
        for stripped in [false, true] {
            let call = service.get(path).without("Authorization");
            let reply = if stripped { call.without_prefix() } else { call }.send().await.expect(200);
            assert_eq!((reply.text.as_str(), reply.header("Connection")), (UP, ""));
        }
    }
}

#[tokio::test]
async fn a_stopping_service_is_live_and_serves_but_is_not_ready() {
    let service = Service::start().await;
    service.app.stopping().cancel();
    for path in ["/health", "/readyz"] {
        let down = service.get(path).without("Authorization").request_id("look").send().await.expect(503);
        let message = "The service cannot answer right now; try again later.";
        let expected = format!(
            r#"{{"status":"down","cell":"crm","code":"SERVICE_UNAVAILABLE","message":"{message}","details":"the service is stopping","requestId":"look","resource":null}}"#
        );
        assert_eq!(down.text, expected);
        assert_eq!((down.header("Retry-After"), down.header("Content-Type")), ("1", "application/json"));
    }
    assert_eq!(service.get("/livez").without("Authorization").send().await.expect(200).text, UP);
    service.customer().await;
    for (path, status) in [("/customers", 200), ("/livez", 200), ("/readyz", 503), ("/nowhere", 404), ("/docs", 200)] {
        service.get(path).send().await.expect(status);
    }
}

#[tokio::test]
async fn while_writes_fail_health_is_503_and_readyz_is_200() {
    // `database::outages` does this to PostgreSQL.
    let service = Service::on(TestDatabase::sqlite(), &[]).await;
    let other = service.database.connect().await.begin().await.unwrap();
    other.execute_unprepared("UPDATE customers SET name = name").await.unwrap();
    service.post("/customers", json!({ "name": "x" })).send().await.expect(503);
    let down = service.get("/health").without("Authorization").send().await.refused(503, "writes fail: ");
    assert_eq!((&down.body["status"], &down.body["cell"]), (&json!("down"), &json!("crm")));
    assert_eq!((down.header("Connection"), down.header("Retry-After")), ("", "1"));
    for path in ["/livez", "/readyz"] {
        service.get(path).without("Authorization").send().await.expect(200);
    }
    other.rollback().await.unwrap();
    service.customer().await;
    service.get("/health").without("Authorization").send().await.expect(200);
}

#[tokio::test]
async fn while_reads_fail_the_service_is_live_but_not_ready() {
    let service = Service::start().await;
    service.app.database().close().await.unwrap();
    for path in ["/health", "/readyz"] {
        service.get(path).without("Authorization").send().await.refused(503, "reads fail: ");
    }
    service.get("/livez").without("Authorization").send().await.expect(200);
}

#[tokio::test]
async fn metrics_are_404_on_the_public_listener() {
    let service = Service::start().await;
    let unknown = service.get("/nowhere").request_id("look").send().await.expect(404);
    for stripped in [false, true] {
        for anonymous in [false, true] {
            let call = service.get("/metrics").request_id("look");
            let call = if stripped { call.without_prefix() } else { call };
            let call = if anonymous { call.without("Authorization") } else { call };
            assert_eq!(call.send().await.expect(404).text, unknown.text);
        }
    }
}

#[tokio::test]
async fn the_private_listener_answers_while_all_request_threads_are_busy() {
    let service = Service::with(&[("CRM_METRICS_ADDR", "127.0.0.1:0")]).await;
    let private = PrivateListener::start(&service.app).unwrap();
    let address = private.address().to_string();
    // `ask` blocks the only thread that serves requests in this test.
    for path in PROBES {
        let reply = ask(&address, "GET", path);
        assert_eq!((reply.status, reply.text.as_str()), (200, UP), "{reply:?}");
    }
    let reply = ask(&address, "GET", "/metrics");
    assert_eq!((reply.status, reply.header("Content-Type")), (200, Exposition::Text.media_type()));
    assert!(reply.text.contains("crm_events_published_total 0"), "{reply:?}");
    private.finish().await;
    assert!(TcpStream::connect(&address).is_err(), "it still listens");
}

#[tokio::test]
async fn the_private_listener_serves_nothing_but_probes_and_metrics() {
    let service = Service::with(&[("CRM_METRICS_ADDR", "127.0.0.1:0")]).await;
    let private = PrivateListener::start(&service.app).unwrap();
    let address = private.address().to_string();
    for path in ["/customers", "/api/v1/crm/customers", "/docs", "/openapi.yaml", "/openapi.json", "/nowhere", "/"] {
        let reply = ask(&address, "GET", path);
        assert_eq!((reply.status, &reply.body()["code"]), (404, &json!("NOT_FOUND")), "{reply:?}");
        assert_eq!(reply.body()["requestId"], reply.header("X-Request-ID"));
        assert!(reply.header("X-Response-Time").parse::<f64>().is_ok(), "{reply:?}");
    }
    for path in ["/metrics", "/health"] {
        let reply = ask(&address, "DELETE", path);
        assert_eq!((reply.status, reply.header("Allow")), (405, "GET, HEAD"), "{reply:?}");
    }
    service.app.stopping().cancel();
    assert_eq!((ask(&address, "GET", "/readyz").status, ask(&address, "GET", "/livez").status), (503, 200));
    private.finish().await;
}

#[tokio::test]
async fn a_metrics_port_in_use_is_a_warning_and_requests_are_served() {
    let database = TestDatabase::sqlite();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let output = start_and_stop(&[("CRM_DATABASE_URL", &database.url()), ("CRM_METRICS_ADDR", &taken)]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let line = &output.logged("cannot listen for probes and metrics")[0];
    assert_eq!((&line["level"], &line["address"]), (&json!("WARN"), &json!(taken)));
}

#[tokio::test]
async fn crm_relay_serves_health_and_metrics() {
    let database = TestDatabase::new().await;
    migrate::up(&database.parsed_url(), None, AMPLE).await.unwrap();
    let variables = [("CRM_EVENTS_URL", "amqp://127.0.0.1:1"), ("CRM_METRICS_ADDR", "127.0.0.1:0")];
    let relay = Process::with("relay", "relaying", &database, &variables);
    assert_eq!(ask(&relay.private, "GET", "/health").text, UP);
    assert!(ask(&relay.private, "GET", "/metrics").text.contains("crm_broker_breaker_open"));
    assert_eq!(relay.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lame_duck_is_not_ready_and_serves_until_a_second_signal() {
    let database = TestDatabase::new().await;
    let variables = [("CRM_LAME_DUCK", "10m"), ("CRM_METRICS_ADDR", "127.0.0.1:0")];
    let mut process = Process::with("serve", "serving", &database, &variables);
    let mut client = process.client().await;
    client.send("POST", "/customers", "one", json!({ "name": "x" })).await.unwrap();
    assert_eq!(ask(&process.address, "GET", "/readyz").status, 200);

    process.signal("-TERM");
    while ask(&process.private, "GET", "/readyz").status == 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let on_open_connection = client.ask("POST", "/customers", "two", &json!({ "name": "x" })).await.unwrap();
    let on_new_connection =
        process.client().await.send("POST", "/customers", "three", json!({ "name": "x" })).await.unwrap();
    assert_eq!((on_open_connection.status, on_new_connection.0), (201, 201));
    assert_eq!(on_open_connection.headers["Connection"], "close");
    assert_eq!(
        (ask(&process.address, "GET", "/health").status, ask(&process.address, "GET", "/livez").status),
        (503, 200)
    );

    process.signal("-INT");
    let status = tokio::task::spawn_blocking(move || process.child.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}
