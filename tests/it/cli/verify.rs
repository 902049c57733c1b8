//! `crm verify`: green on what is as it must be, and red on each line whose rule is broken: by a proxy that breaks one rule, by
//! the database, or by the documents.

use std::{
    convert::Infallible,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crm::verify::{Caller, Documents, Line, Own, Target, Verdict, documents::STATES, walk};
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1 as client,
    server::conn::http1 as server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::harness::{Process, SECRET, TestDatabase, on_postgres, run_crm, sign_hs256, variable, within, write_secret};

const ALL_SCOPES: &str = "crm:read crm:write crm:pii:read crm:pii:erase crm:audit:read";

type OnRequest = Box<dyn Fn(&mut Request<Bytes>) + Send + Sync>;
type OnReply = Box<dyn Fn(&str, &mut Response<Bytes>) + Send + Sync>;

/// What a proxy does to requests, and to replies by the path that was asked for.
struct Rule {
    request: OnRequest,
    reply: OnReply,
}

impl Rule {
    fn request(change: impl Fn(&mut Request<Bytes>) + Send + Sync + 'static) -> Self {
        Self { request: Box::new(change), reply: Box::new(|_, _| {}) }
    }

    fn reply(change: impl Fn(&str, &mut Response<Bytes>) + Send + Sync + 'static) -> Self {
        Self { request: Box::new(|_| {}), reply: Box::new(change) }
    }

    /// Replaces a text in replies to requests whose path begins so.
    fn text(path: &'static str, from: &'static str, to: &'static str) -> Self {
        Self::reply(move |asked, reply| {
            let text = String::from_utf8(reply.body().to_vec()).unwrap();
            if asked.starts_with(path) {
                *reply.body_mut() = text.replacen(from, to, 1).into();
            }
        })
    }
}

/// A proxy that breaks one rule.
struct Breaker {
    address: String,
    accepting: JoinHandle<()>,
}

impl Breaker {
    async fn before(service: &str, rule: Rule) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (service, rule) = (service.to_owned(), Arc::new(rule));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, rule) = (service.clone(), Arc::clone(&rule));
                let pass = service_fn(move |request| passed_on(request, service.clone(), Arc::clone(&rule)));
                tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(stream), pass));
            }
        });
        Self { address, accepting }
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn passed_on(
    request: Request<Incoming>,
    service: String,
    rule: Arc<Rule>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let mut request = Request::from_parts(head, body.collect().await.unwrap().to_bytes());
    let path = request.uri().path().to_owned();
    (rule.request)(&mut request);
    let stream = TcpStream::connect(service).await.unwrap();
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let reply = sender.send_request(request.map(Full::new)).await.unwrap();
    let (head, body) = reply.into_parts();
    let mut reply = Response::from_parts(head, body.collect().await.unwrap().to_bytes());
    (rule.reply)(&path, &mut reply);
    reply.headers_mut().remove("Content-Length");
    Ok(reply.map(Full::new))
}

fn token(tenant: &str, scope: &str) -> String {
    sign_hs256(&json!({ "exp": 4_000_000_000_u64, "sub": "verifier", "tenant_id": tenant, "scope": scope }), SECRET)
}

/// The delivery of this project.
fn delivered() -> Documents {
    Documents::Folder(Path::new(env!("CARGO_MANIFEST_DIR")).join("delivery"))
}

/// An instance at this address, as `crm verify` knows one of its own; each tenant is asked once.
fn target(address: &str, database: &TestDatabase, tenant: &str) -> Target {
    let caller = |tenant: &str, scope: &str| Caller { token: token(tenant, scope), tenant: None };
    Target {
        base: format!("http://{address}"),
        caller: caller(tenant, ALL_SCOPES),
        may_write: true,
        own: Some(Own {
            database: database.parsed_url(),
            elsewhere: caller(&format!("{tenant}-other"), ALL_SCOPES),
            reader: caller(tenant, "crm:read"),
        }),
        documents: delivered(),
    }
}

fn broken(lines: &[Line]) -> Vec<&str> {
    lines.iter().filter(|line| line.result == Verdict::Broken).map(|line| line.number).collect()
}

/// Its line alone is broken, and the last one, which is about the others. A contract that is another one is also not this program's.
fn is_red(lines: &[Line], number: &str) -> bool {
    let expected: &[&str] = if number == "4.1.1" { &["4.1.1", "4.4.3", "4.4.4"] } else { &[number, "4.4.4"] };
    broken(lines) == expected
}

fn is_error(reply: &Response<Bytes>) -> bool {
    reply.status().is_client_error()
}

fn lose(headers: &mut HeaderMap, name: &str) {
    headers.remove(name);
}

/// The rules, by the line that must notice that they are broken.
fn rules() -> Vec<(&'static str, &'static str, Rule)> {
    let number = AtomicUsize::new(0);
    vec![
        (
            "4.1.1",
            "the contract refers to the platform",
            Rule::text("/openapi.yaml", "'#/components/", "'https://platform.example/core.yaml#/components/"),
        ),
        ("4.1.3", "events are another cell's", Rule::text("/events", r#""source":"crm""#, r#""source":"erp""#)),
        ("4.2.1", "the status has another word", Rule::text("/health", r#""up""#, r#""ok""#)),
        (
            "4.2.2",
            "who has no token is let in",
            Rule::request(|request| {
                let bearer = format!("Bearer {}", token("anybody", ALL_SCOPES)).parse().unwrap();
                // What is asked for to see an error is refused as ever.
                if request.uri().path() != "/customers" || request.method() != "GET" {
                    request.headers_mut().entry("Authorization").or_insert(bearer);
                }
            }),
        ),
        (
            "4.2.3",
            "errors have no requestId",
            Rule::reply(|_, reply| {
                if is_error(reply) {
                    let mut body: Value = serde_json::from_slice(reply.body()).unwrap();
                    body.as_object_mut().unwrap().remove("requestId");
                    *reply.body_mut() = body.to_string().into();
                }
            }),
        ),
        (
            "4.2.4",
            "a missing X-Request-ID is made up",
            Rule::request(|request| {
                request.headers_mut().entry("X-Request-ID").or_insert("made-up".parse().unwrap());
            }),
        ),
        (
            "4.2.5",
            "errors do not say how long they took",
            Rule::reply(|_, reply| {
                if is_error(reply) {
                    lose(reply.headers_mut(), "X-Response-Time");
                }
            }),
        ),
        (
            "4.2.6",
            "a repeated request is another one",
            Rule::request(move |request| {
                if request.method() == "POST" && request.body().windows(12).any(|bytes| bytes == b"contactPhone") {
                    let id = format!("another-{}", number.fetch_add(1, Ordering::SeqCst)).parse().unwrap();
                    request.headers_mut().insert("X-Request-ID", id);
                }
            }),
        ),
        (
            "4.3.2",
            "phone numbers are shown in clear",
            Rule::reply(|path, reply| {
                let body = serde_json::from_slice::<Value>(reply.body());
                if let (true, Ok(mut body)) = (path.starts_with("/customers/") && !is_error(reply), body) {
                    body["contactPhone"] = json!("+44 1632 960 417");
                    *reply.body_mut() = body.to_string().into();
                }
            }),
        ),
        ("4.4.3", "the contract is another one", Rule::text("/openapi.yaml", "maxLength: 200", "maxLength: 201")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_rule_that_is_broken_turns_its_line_red() {
    let database = TestDatabase::new().await;
    let process = Process::start(&database);
    let kept = Breaker::before(&process.address, Rule::request(|_| {})).await;
    let lines = walk(&target(&kept.address, &database, "kept")).await.unwrap();
    assert!(lines.iter().all(|line| line.result == Verdict::Holds), "{lines:#?}");
    assert_eq!(lines.len(), 15);
    let rules = rules();
    assert!(rules.len() >= 10);
    let mut unseen = Vec::new();
    for (place, (number, what, rule)) in rules.into_iter().enumerate() {
        let breaker = Breaker::before(&process.address, rule).await;
        let lines = walk(&target(&breaker.address, &database, &format!("broken-{place}"))).await.unwrap();
        if !is_red(&lines, number) {
            let broken = lines.into_iter().filter(|line| line.result == Verdict::Broken);
            unseen.push((number, what, broken.map(|line| (line.number, line.evidence)).collect::<Vec<_>>()));
        }
    }
    assert_eq!(unseen, [], "{unseen:#?}");
}

/// A gateway that lets a token name no tenant, and takes whatever header it is sent for its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_mixes_tenants_turns_its_line_red() {
    let database = TestDatabase::new().await;
    let process = Process::start(&database);
    let mixed = Rule::request(|request| {
        if request.headers().contains_key("X-Tenant-Id") {
            request.headers_mut().insert("X-Tenant-Id", "default".parse().unwrap());
        }
    });
    let breaker = Breaker::before(&process.address, mixed).await;
    let caller = Caller {
        token: sign_hs256(&json!({ "exp": 4_000_000_000_u64, "scope": "crm:read crm:write" }), SECRET),
        tenant: None,
    };
    let mut target = Target {
        base: format!("http://{}", breaker.address),
        caller,
        may_write: true,
        own: None,
        documents: delivered(),
    };
    let lines = walk(&target).await.unwrap();
    assert!(is_red(&lines, "4.3.1"), "{lines:#?}");
    target.base = format!("http://{}", process.address);
    assert_eq!(broken(&walk(&target).await.unwrap()), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_shared_or_in_clear_turns_its_line_red() {
    let database = TestDatabase::new().await;
    let process = Process::at(&database.url(), &[("CRM_PII_ENCRYPTION", "off")]);
    let mut client = process.client().await.with_token(&token("shared", ALL_SCOPES));
    client.call("POST", "/customers", "before", &json!({ "name": "of another cell" })).await;
    let lines = walk(&target(&process.address, &database, "shared")).await.unwrap();
    assert_eq!(broken(&lines), ["4.1.2", "4.3.2", "4.4.4"], "{lines:#?}");
    let personal = lines.iter().find(|line| line.number == "4.3.2").unwrap();
    assert!(personal.evidence.starts_with("the database holds verify."), "{personal:?}");
}

/// At a running service nothing is written, unless that is allowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_running_service_nothing_is_changed() {
    let database = TestDatabase::new().await;
    let process = Process::start(&database);
    let mut client = process.client().await.with_token(&token("there", ALL_SCOPES));
    let body = json!({ "name": "x", "contactEmail": "somebody@example.com" });
    client.call("POST", "/customers", "first", &body).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    write_secret(&file, &token("there", "crm:read crm:write"));
    let url = format!("http://{}/api/v1/crm", process.address);
    let arguments = ["verify", "--url", &url, "--token-file", file.to_str().unwrap(), "--json"];
    within(30, "the change has its place", async || client.get("/changes").await.body["data"][0].is_object()).await;
    let before = client.get("/changes").await.body;
    let output = run_crm(&arguments, &[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let summary: Value = serde_json::from_str(&output.stdout).unwrap();
    let of = |result: &str| {
        let lines = summary["lines"].as_array().unwrap().iter().filter(|line| line["result"] == result);
        lines.map(|line| line["number"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((of("notChecked"), of("holds").len()), (vec!["4.1.2", "4.2.6"], 13), "{summary}");
    assert_eq!(client.get("/changes").await.body, before);
    let written = run_crm(&[&arguments[..], &["--write"]].concat(), &[]);
    assert_eq!(written.code, Some(0), "{written:?}");
    assert_eq!(client.get("/customers").await.body["total"], 1, "what it made is deleted again");
    let away = run_crm(&["verify", "--url", "http://127.0.0.1:1", "--token-file", file.to_str().unwrap()], &[]);
    assert_eq!(away.code, Some(1));
    assert!(away.stdout.contains("was not answered") && away.error().contains("lines are broken"), "{away:?}");
}

/// As an operator runs it: with an instance of its own, of which nothing is left.
#[test]
fn on_an_instance_of_its_own_all_lines_hold() {
    let temporary = tempfile::tempdir().unwrap();
    let server = variable("TEST_POSTGRES_URL");
    let server = server.unwrap_or_else(|| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
    let mut arguments = vec!["verify", "--json"];
    if on_postgres() {
        arguments.extend(["--database", &server]);
    }
    let variables = [("TMPDIR", temporary.path().to_str().unwrap()), ("CRM_DATABASE_URL", "nonsense")];
    let output = run_crm(&arguments, &variables);
    assert_eq!(output.code, Some(0), "{output:?}");
    let summary: Value = serde_json::from_str(&output.stdout).unwrap();
    let lines = summary["lines"].as_array().unwrap();
    assert!(lines.len() == 15 && lines.iter().all(|line| line["result"] == "holds"), "{summary}");
    assert!(lines.iter().all(|line| line["evidence"].as_str().is_some_and(|text| text.len() > 20)), "{summary}");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "its directory is left");
}

/// The documents with one text replaced, in a folder of a project beside which nothing else is.
fn changed(file: &str, change: impl Fn(String) -> String) -> String {
    let project = tempfile::tempdir().unwrap();
    let folder = project.path().join("delivery");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(package) = delivered().package() else { panic!("the package is wrong") };
    let files = delivered().manifest(&package).unwrap().files;
    for name in files.iter().chain([&package.completion_manifest]) {
        fs::create_dir_all(project.path().join(name).parent().unwrap()).unwrap();
        fs::copy(source.join(name), project.path().join(name)).unwrap();
    }
    let path = project.path().join(file);
    let text = change(fs::read_to_string(&path).unwrap());
    if text.is_empty() {
        fs::remove_file(&path).unwrap()
    } else {
        fs::write(&path, text).unwrap()
    }
    let documents = Documents::Folder(folder);
    let found = documents.package().and_then(|package| documents.manifest(&package)).map(|_| ());
    found.map_or_else(|error| error.replace(&format!("{}/", project.path().display()), ""), |()| "nothing".to_owned())
}

#[test]
fn what_is_wrong_with_the_documents_is_said_in_words() {
    let (package, manifest) = ("delivery/delivery.package", "delivery/completion.manifest");
    let replaced = |from: &'static str, to: &'static str| {
        move |text: String| {
            assert!(text.contains(from), "{from} is not in it");
            text.replacen(from, to, 1)
        }
    };
    let gone = |_| String::new();
    assert_eq!(changed(package, |text| text), "nothing");
    let banana = changed(package, replaced("\"delivered\"", "\"banana\""));
    assert_eq!(banana, format!("{package}: status is \"banana\", and must be one of {}", STATES.join(", ")));
    for (found, expected) in [
        (changed(package, gone), "delivery/delivery.package cannot be read: No such file or directory (os error 2)"),
        (changed(package, |_| "{".to_owned()), "delivery/delivery.package is not as it must be: EOF"),
        (
            changed(package, replaced("\"status\"", "\"state\"")),
            "delivery/delivery.package is not as it must be: unknown field `state`",
        ),
        (
            changed(package, replaced("\"crm\"", "\"erp\"")),
            "delivery/delivery.package: cell_name is \"erp\", and must be crm",
        ),
        (
            changed(package, replaced("0.1.0", "0.0.9")),
            "delivery/delivery.package: version is \"0.0.9\", and this program is",
        ),
        (
            changed(package, replaced("openapi/api_contract.yaml", "openapi/contract.yaml")),
            "delivery/delivery.package names openapi/contract.yaml, which does not exist",
        ),
        (changed(manifest, gone), "delivery/delivery.package names delivery/completion.manifest, which does not exist"),
        (changed(manifest, |_| "[]".to_owned()), "delivery/completion.manifest is not as it must be: invalid"),
        (changed("Dockerfile", gone), "delivery/completion.manifest names Dockerfile, which does not exist"),
        (
            changed(manifest, replaced("\"crm verify\"", "\"rm verify\"")),
            "delivery/completion.manifest: verification is shown by \"rm",
        ),
        (
            changed(manifest, replaced("\"health\"", "\"verification\"")),
            "delivery/completion.manifest: the id verification stands twice",
        ),
    ] {
        assert!(found.starts_with(expected), "{found}\nand not\n{expected}");
    }
}

/// What was delivered once stays in the manifest: whoever takes something away says so here, too.
const CAPABILITIES: &str = include_str!("../../../delivery/capabilities");

#[test]
fn the_manifest_is_true_and_nothing_is_gone_from_it() {
    let documents = delivered();
    let manifest = documents.manifest(&documents.package().unwrap()).unwrap();
    let ids: Vec<&str> = manifest.delivered.iter().map(|capability| capability.id.as_str()).collect();
    let kept: Vec<&str> = CAPABILITIES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(kept.len() > 25);
    for id in &kept {
        assert!(ids.contains(id), "{id} was delivered, and is not in delivery/completion.manifest");
    }
    for id in ids {
        assert!(kept.contains(&id), "{id} is new: add it to delivery/capabilities, so that it stays");
    }
    for capability in manifest.delivered.iter().filter(|capability| capability.command.starts_with("crm ")) {
        let arguments: Vec<&str> = capability.command.split(' ').skip(1).chain(["--help"]).collect();
        assert_eq!(run_crm(&arguments, &[]).code, Some(0), "{}", capability.command);
    }
}
