//! The probes and the metrics: what is answered where, of a service that works, of one that stops, and on its private
//! listener.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use crm::{database::migrate, http::private::Private, telemetry::metrics};
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::{Value, json};

use crate::harness::{Process, Service, TestDatabase, served};

const PROBES: [&str; 3] = ["/health", "/livez", "/readyz"];

const UP: &str = r#"{"status":"up","cell":"crm"}"#;

/// Longer than anything here takes.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A reply, read byte by byte, so that nothing of a client's own comes between.
#[derive(Debug)]
struct Heard {
    status: u16,
    head: String,
    text: String,
}

impl Heard {
    fn header(&self, name: &str) -> &str {
        let named = |line: &str| line.split_once(": ").is_some_and(|(own, _)| own.eq_ignore_ascii_case(name));
        self.head.lines().find(|line| named(line)).and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value)
    }

    fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

/// Asks on a connection of its own, blocking this thread.
fn ask(address: &str, method: &str, path: &str) -> Heard {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(FOR_EVER)).unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: crm\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    let (head, text) = heard.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Heard { status, head: head.to_owned(), text: text.to_owned() }
}

#[tokio::test]
async fn the_probes_are_answered_without_a_token_at_both_mount_points() {
    let service = Service::start().await;
    for path in PROBES {
        for stripped in [false, true] {
            let call = service.get(path).without("Authorization");
            let reply = if stripped { call.stripped() } else { call }.send().await.expect(200);
            assert_eq!((reply.text.as_str(), reply.header("Connection")), (UP, ""));
        }
    }
}

#[tokio::test]
async fn a_service_that_is_stopping_is_alive_serves_and_is_not_ready() {
    let service = Service::start().await;
    service.app.stop();
    for path in ["/health", "/readyz"] {
        let down = service.get(path).without("Authorization").request_id("look").send().await.expect(503);
        let message = "The service cannot answer right now; try again later.";
        let expected = format!(
            r#"{{"status":"down","cell":"crm","code":"SERVICE_UNAVAILABLE","message":"{message}","details":"the service is stopping","requestId":"look"}}"#
        );
        assert_eq!(down.text, expected);
        assert_eq!((down.header("Retry-After"), down.header("Content-Type")), ("1", "application/json"));
    }
    assert_eq!(service.get("/livez").without("Authorization").send().await.expect(200).text, UP);
    service.customer().await;
    for (path, status) in [("/customers", 200), ("/livez", 200), ("/readyz", 503), ("/nowhere", 404), ("/docs", 200)] {
        assert_eq!(service.get(path).send().await.expect(status).header("Connection"), "close", "{path}");
    }
}

#[tokio::test]
async fn while_no_change_can_be_committed_health_says_so_and_the_service_is_ready_to_read() {
    // Where PostgreSQL cannot commit is shown in `outages`.
    let service = Service::on(TestDatabase::sqlite(), &[]).await;
    let stranger = service.database.connect().await.begin().await.unwrap();
    stranger.execute_unprepared("UPDATE customers SET name = name").await.unwrap();
    service.post("/customers", json!({ "name": "x" })).send().await.expect(503);
    let down = service.get("/health").without("Authorization").send().await.refused(503, "writes fail: ");
    assert_eq!((&down.body["status"], &down.body["cell"]), (&json!("down"), &json!("crm")));
    assert_eq!((down.header("Connection"), down.header("Retry-After")), ("", "1"));
    for path in ["/livez", "/readyz"] {
        service.get(path).without("Authorization").send().await.expect(200);
    }
    stranger.rollback().await.unwrap();
    service.customer().await;
    service.get("/health").without("Authorization").send().await.expect(200);
}

#[tokio::test]
async fn while_nothing_can_be_read_the_service_is_alive_and_not_ready() {
    let service = Service::start().await;
    service.app.database().close().await.unwrap();
    for path in ["/health", "/readyz"] {
        service.get(path).without("Authorization").send().await.refused(503, "reads fail: ");
    }
    service.get("/livez").without("Authorization").send().await.expect(200);
}

#[tokio::test]
async fn the_metrics_are_not_where_the_requests_are() {
    let service = Service::start().await;
    let unknown = service.get("/nowhere").request_id("look").send().await.expect(404);
    for stripped in [false, true] {
        for anonymous in [false, true] {
            let call = service.get("/metrics").request_id("look");
            let call = if stripped { call.stripped() } else { call };
            let call = if anonymous { call.without("Authorization") } else { call };
            assert_eq!(call.send().await.expect(404).text, unknown.text);
        }
    }
}

#[tokio::test]
async fn the_private_listener_answers_while_every_thread_of_the_service_is_busy() {
    let service = Service::with(&[("CRM_METRICS_ADDR", "127.0.0.1:0")]).await;
    let private = Private::start(&service.app).unwrap();
    let address = private.address().to_string();
    // The one thread that the service has in this test does nothing else meanwhile.
    for path in PROBES {
        let reply = ask(&address, "GET", path);
        assert_eq!((reply.status, reply.text.as_str()), (200, UP), "{reply:?}");
    }
    let reply = ask(&address, "GET", "/metrics");
    assert_eq!((reply.status, reply.header("Content-Type")), (200, metrics::MEDIA_TYPE));
    assert!(reply.text.contains("crm_events_published_total 0"), "{reply:?}");
    private.finish().await;
    assert!(TcpStream::connect(&address).is_err(), "it still listens");
}

#[tokio::test]
async fn the_private_listener_has_nothing_else_and_the_one_error_shape() {
    let service = Service::with(&[("CRM_METRICS_ADDR", "127.0.0.1:0")]).await;
    let private = Private::start(&service.app).unwrap();
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
    service.app.stop();
    assert_eq!((ask(&address, "GET", "/readyz").status, ask(&address, "GET", "/livez").status), (503, 200));
    private.finish().await;
}

#[tokio::test]
async fn a_private_address_that_is_taken_is_a_warning_and_the_service_goes_on() {
    let database = TestDatabase::sqlite();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let ended = served(&[("CRM_DATABASE_URL", &database.url()), ("CRM_METRICS_ADDR", &taken)]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let line = ended.err.lines().find(|line| line.contains("cannot listen for probes and metrics"));
    let line: Value = serde_json::from_str(line.unwrap()).unwrap();
    assert_eq!((&line["level"], &line["address"]), (&json!("WARN"), &json!(taken)));
}

#[tokio::test]
async fn crm_relay_shows_its_health_and_metrics_too() {
    let database = TestDatabase::new().await;
    migrate::up(&database.parsed_url(), None, FOR_EVER).await.unwrap();
    let variables = [("CRM_EVENTS_URL", "amqp://127.0.0.1:1"), ("CRM_METRICS_ADDR", "127.0.0.1:0")];
    let mut relay = Process::with("relay", "relaying", &database, &variables);
    assert_eq!(ask(&relay.private, "GET", "/health").text, UP);
    assert!(ask(&relay.private, "GET", "/metrics").text.contains("crm_broker_breaker_open"));
    relay.signal("-TERM");
    assert_eq!(relay.child.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_a_lame_duck_is_not_ready_and_serves_until_it_is_told_again() {
    let database = TestDatabase::new().await;
    let variables = [("CRM_LAME_DUCK", "10m"), ("CRM_METRICS_ADDR", "127.0.0.1:0")];
    let mut process = Process::with("serve", "serving", &database, &variables);
    let mut kept = process.client().await;
    kept.send("POST", "/customers", "one", json!({ "name": "x" })).await.unwrap();
    assert_eq!(ask(&process.address, "GET", "/readyz").status, 200);

    process.signal("-TERM");
    while ask(&process.private, "GET", "/readyz").status == 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let of_kept = kept.ask("POST", "/customers", "two", &json!({ "name": "x" })).await.unwrap();
    let of_new = process.client().await.send("POST", "/customers", "three", json!({ "name": "x" })).await.unwrap();
    assert_eq!((of_kept.status, of_new.0), (201, 201));
    assert_eq!(of_kept.headers["Connection"], "close");
    assert_eq!(
        (ask(&process.address, "GET", "/health").status, ask(&process.address, "GET", "/livez").status),
        (503, 200)
    );

    process.signal("-INT");
    let status = tokio::task::spawn_blocking(move || process.child.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}
