//! `crm contract`: what it answers, what it writes, and what it refuses to write.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crm::service::{asyncapi, contract::contract};
use serde_json::Value;

use crate::harness::{CommandOutput, Process, TestDatabase, command};

/// The contracts as somebody may have frozen or released them, in a directory of their own.
struct Project {
    directory: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// Writes the emitted contract of the API, with a text in it replaced.
    fn write(&self, file: &str, from: &str, to: &str) {
        let text = contract().yaml();
        assert!(text.contains(from), "{from} is not in the contract");
        self.write_text(file, &text.replacen(from, to, 1));
    }

    fn write_text(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    fn files(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs `crm contract` in the directory.
    fn run(&self, arguments: &[&str]) -> CommandOutput {
        let arguments = [&["contract"], arguments].concat();
        let output = command(&arguments, &[]).current_dir(&self.directory).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        CommandOutput { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

#[track_caller]
fn assert_word(output: &CommandOutput, word: &str, code: i32) {
    assert_eq!((output.stdout.lines().next(), output.code), (Some(word), Some(code)), "{output:?}");
}

fn version() -> String {
    contract().document()["info"]["version"].as_str().unwrap().to_owned()
}

/// A line that stands in the contract once, and another in its place in an older one.
const DESCRIPTION: (&str, &str) = ("summary: List contacts", "summary: Find contacts");

#[test]
fn check_answers_one_word_with_its_exit_code() {
    let project = Project::new();
    let version = version();
    project.write("same.yaml", "openapi:", "openapi:");
    project.write("described.yaml", DESCRIPTION.0, DESCRIPTION.1);
    project.write("removed.yaml", "operationId: listContacts", "operationId: findContacts");
    project.write_text("crlf.yaml", &contract().yaml().replace('\n', "\r\n"));
    project.write_text("same.json", &contract().json());
    project.write_text("events.yaml", &asyncapi::yaml());
    for file in ["same.yaml", "crlf.yaml", "same.json", "events.yaml"] {
        assert_word(&project.run(&["check", "--against", file]), "identical", 0);
    }
    let compatible = project.run(&["check", "--against", "described.yaml"]);
    assert_word(&compatible, "compatible", 3);
    assert!(compatible.stdout.contains("GET /contacts: the summary differs (documentation)"), "{compatible:?}");
    assert!(compatible.stdout.contains(&format!("the version must be raised from {version} to ")), "{compatible:?}");
    let breaking = project.run(&["check", "--against", "described.yaml", "--against", "removed.yaml"]);
    assert_word(&breaking, "breaking", 4);
    assert!(breaking.stdout.contains("described.yaml: compatible\n"), "{breaking:?}");
    assert!(breaking.stdout.contains("removed.yaml: breaking\n  GET /contacts: "), "{breaking:?}");
}

#[test]
fn check_prints_json_for_programs() {
    let project = Project::new();
    project.write("removed.yaml", "operationId: listContacts", "operationId: findContacts");
    let output = project.run(&["check", "--json", "--against", "removed.yaml"]);
    assert_eq!(output.code, Some(4), "{output:?}");
    let summary: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(summary["verdict"], "breaking");
    let report = &summary["reports"][0];
    assert_eq!(report["against"], "removed.yaml");
    let difference = &report["differences"][0];
    assert_eq!(difference["operations"][0], "GET /contacts");
    assert_eq!(difference["effect"], "breaking");
    assert!(difference["reason"].as_str().unwrap().contains("generated code"), "{difference}");
}

#[test]
fn check_accepts_compatible_only_with_a_version_that_was_raised() {
    let project = Project::new();
    project.write("described.yaml", DESCRIPTION.0, DESCRIPTION.1);
    let arguments = ["check", "--accept-compatible", "--against", "described.yaml"];
    assert_word(&project.run(&arguments), "compatible", 3);
    let older = project.read("described.yaml").replacen(&format!("version: {}", version()), "version: 1.0.0", 1);
    project.write_text("described.yaml", &older);
    assert_word(&project.run(&arguments), "compatible", 0);
}

#[test]
fn check_reads_the_frozen_and_the_released_by_itself() {
    let project = Project::new();
    let missing = project.run(&["check"]);
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.stderr.contains("--against"), "{missing:?}");
    project.write_text("openapi/api_contract.yaml", &contract().yaml());
    project.write_text("openapi/events.yaml", &asyncapi::yaml());
    assert_word(&project.run(&["check"]), "identical", 0);
    project.write("openapi/released/api-1.0.0.yaml", "operationId: listContacts", "operationId: findContacts");
    assert_word(&project.run(&["check"]), "breaking", 4);
}

#[test]
fn check_refuses_what_is_no_contract() {
    let project = Project::new();
    project.write_text("text.yaml", "just: text");
    project.write_text("broken.yaml", "a: [");
    fs::create_dir(project.path("empty")).unwrap();
    for (path, reason) in [
        ("text.yaml", "neither an OpenAPI nor an AsyncAPI document"),
        ("broken.yaml", "neither YAML nor JSON"),
        ("missing.yaml", "No such file"),
        ("empty", "there is no contract in it"),
    ] {
        let output = project.run(&["check", "--against", path]);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains(reason), "{output:?}");
    }
    assert_eq!(project.run(&["check", "--agianst", "x"]).code, Some(2));
}

#[tokio::test]
async fn check_compares_what_a_running_service_serves() {
    let process = Process::start(&TestDatabase::new().await);
    let served = async |url: String| {
        let check = move || Project::new().run(&["check", "--url", &url]);
        tokio::task::spawn_blocking(check).await.unwrap()
    };
    let address = format!("http://{}", process.address);
    for base in [address.clone(), format!("{address}/"), format!("{address}?a=b.json")] {
        let both = served(base).await;
        assert_word(&both, "identical", 0);
        assert!(both.stdout.contains("/openapi.yaml") && both.stdout.contains("/asyncapi.yaml"), "{both:?}");
    }
    for document in ["openapi.json", "asyncapi.yaml", "openapi.yaml?a=b"] {
        let one = served(format!("{address}/{document}")).await;
        assert_word(&one, "identical", 0);
        assert_eq!(one.stdout.lines().count(), 2, "one document: {one:?}");
    }
    assert_eq!(served(format!("{address}/nowhere")).await.code, Some(1));
    assert_eq!(served("http://127.0.0.1:1".to_owned()).await.code, Some(1));
    for text in [process.address.to_string(), "localhost:8080".to_owned(), "ftp://localhost".to_owned()] {
        let output = served(text.clone()).await;
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains(&format!("{text}: an address begins with http://")), "{output:?}");
    }
}

/// Serves two texts, each to one request for its document.
async fn serve(listener: tokio::net::TcpListener, api: String, events: String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for _ in 0..2 {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        let read = stream.read(&mut head).await.unwrap();
        let text = if head[..read].starts_with(b"GET /asyncapi.yaml ") { &events } else { &api };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn check_calls_a_service_with_another_contract_untruthful() {
    let (api, events) = (contract().yaml(), asyncapi::yaml());
    let other_api = api.replacen(DESCRIPTION.0, DESCRIPTION.1, 1);
    let other_events = events.replacen("summary: The contact was created.", "summary: A contact came.", 1);
    assert_ne!(events, other_events);
    for (api, events, found) in [
        (other_api, events, "GET /contacts: the summary differs"),
        (api, other_events, "publishEvents ContactCreated: the summary differs"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(serve(listener, api, events));
        let check = move || Project::new().run(&["check", "--url", &url]);
        let output = tokio::task::spawn_blocking(check).await.unwrap();
        server.await.unwrap();
        assert_word(&output, "untruthful", 5);
        assert!(output.stdout.contains(found), "{output:?}");
    }
}

#[test]
fn freeze_writes_both_contracts_where_nothing_was_released() {
    let project = Project::new();
    let output = project.run(&["freeze"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(project.read("openapi/api_contract.yaml"), contract().yaml());
    assert_eq!(project.read("openapi/events.yaml"), asyncapi::yaml());
    assert_eq!(project.files("openapi"), ["api_contract.yaml", "events.yaml"]);
    let mode = fs::metadata(project.path("openapi/events.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "others cannot read it");
    let again = project.run(&["freeze"]);
    assert_eq!(again.stdout.matches(": unchanged").count(), 2, "{again:?}");
}

#[test]
fn freeze_keeps_a_release_that_no_later_one_may_break() {
    let project = Project::new();
    assert_eq!(project.run(&["freeze", "--release"]).code, Some(0));
    let events_version = asyncapi::document()["info"]["version"].as_str().unwrap().to_owned();
    let [api, events] = [format!("api-{}.yaml", version()), format!("events-{events_version}.yaml")];
    assert_eq!(project.files("openapi/released"), [api.clone(), events]);
    assert_word(&project.run(&["check"]), "identical", 0);
    assert_eq!(project.run(&["freeze", "--release"]).code, Some(0), "the same again");
    // As if what is emitted today were without an operation that was released.
    project.write(&format!("openapi/released/{api}"), "  /audit-logs:", "  /audit-trail:");
    fs::remove_file(project.path("openapi/api_contract.yaml")).unwrap();
    let refused = project.run(&["freeze", "--release"]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stdout.contains("GET /audit-trail: the operation is gone (breaking)"), "{refused:?}");
    assert!(refused.stdout.contains("a base path of its own"), "{refused:?}");
    assert!(!project.path("openapi/api_contract.yaml").exists(), "it was written nevertheless");
}

#[test]
fn make_checks_and_freezes_with_it() {
    let project = Project::new();
    let make = |target: &str| {
        let folder = format!("OPENAPI={}", project.directory.path().display());
        let program = format!("CRM={}", env!("CARGO_BIN_EXE_crm"));
        // What it would build is what runs this test.
        let output = std::process::Command::new("make")
            .args(["--no-print-directory", "--old-file=build", target, &folder, &program])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert!(make("freeze").0);
    assert!(make("check-contract").0, "{:?}", make("check-contract"));
    project.write("api_contract.yaml", DESCRIPTION.0, DESCRIPTION.1);
    let (succeeded, output) = make("check-contract");
    assert!(!succeeded && output.contains("The contract changed."), "{output}");
    fs::remove_file(project.path("api_contract.yaml")).unwrap();
    let (succeeded, output) = make("check-contract");
    assert!(!succeeded && !output.contains("The contract changed."), "{output}");
    assert!(make("release-contract").0);
    assert!(make("check-contract").0, "{:?}", make("check-contract"));
    project.write(&format!("released/api-{}.yaml", version()), "  /audit-logs:", "  /audit-trail:");
    let (succeeded, output) = make("check-contract");
    assert!(!succeeded && output.contains("the operation is gone"), "{output}");
    let (succeeded, output) = make("freeze");
    assert!(!succeeded && output.contains("Nothing was written"), "{output}");
}

#[test]
fn freeze_wants_the_version_raised() {
    let project = Project::new();
    project.write("openapi/released/api-1.yaml", DESCRIPTION.0, DESCRIPTION.1);
    let refused = project.run(&["freeze"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("the version must be raised"), "{refused:?}");
    assert_eq!(project.files("openapi"), ["released"]);
    let older =
        project.read("openapi/released/api-1.yaml").replacen(&format!("version: {}", version()), "version: 1.0.0", 1);
    project.write_text("openapi/released/api-1.yaml", &older);
    assert_eq!(project.run(&["freeze"]).code, Some(0));
}

#[test]
fn the_project_s_own_contracts_pass() {
    let output = command(&["contract", "check", "--accept-compatible"], &[])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
