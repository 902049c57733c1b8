//! `crm demo`: what it prints works, what it serves is complete, and nothing of it is left.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Client, command, fields, run_crm, signal, start_and_stop};

/// The totals of customers, contacts, opportunities and follow-ups.
const TENANTS: [(&str, [u64; 4]); 2] = [("acme-trading", [22, 31, 25, 46]), ("globex", [18, 26, 19, 29])];
const LISTS: [&str; 4] = ["customers", "contacts", "opportunities", "follow-ups"];

/// A running demo; killed with the test.
struct Demo {
    child: Child,
    out: Option<BufReader<ChildStdout>>,
    /// What it has printed.
    printed: String,
}

impl Demo {
    /// Starts one whose temporary files are in this directory, and waits until it serves.
    fn start(temporary: &Path, variables: &[(&str, &str)]) -> Self {
        let mut demo = Self::launch(temporary, variables);
        demo.wait();
        demo
    }

    fn launch(temporary: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = command(&["demo", "--port", "0"], &[("TMPDIR", temporary.to_str().unwrap())]);
        let mut child = command.envs(variables.iter().copied()).stdout(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().map(BufReader::new);
        Self { child, out, printed: String::new() }
    }

    fn wait(&mut self) {
        while !self.printed.lines().last().is_some_and(|line| line.starts_with("Ctrl-C")) {
            let read = self.out.as_mut().unwrap().read_line(&mut self.printed).unwrap();
            assert!(read > 0, "it ended before it served:\n{}", self.printed);
        }
    }

    fn addresses(&self) -> Vec<&str> {
        self.printed.split_whitespace().filter(|word| word.starts_with("http://")).collect()
    }

    fn address(&self) -> &str {
        self.addresses()[0].strip_prefix("http://").unwrap().split('/').next().unwrap()
    }

    /// The token for everything and the one that only reads, for each tenant.
    fn tokens(&self) -> [[&str; 2]; 2] {
        let tokens: Vec<&str> = self.printed.lines().filter(|line| line.starts_with("eyJ")).collect();
        let [a, b, c, d] = tokens[..] else { panic!("not four tokens:\n{}", self.printed) };
        [[a, b], [c, d]]
    }

    async fn client(&self, token: &str) -> Client {
        Client::connect(self.address()).await.unwrap().with_token(token)
    }

    /// Sends a signal and returns what is printed then, and the exit code.
    fn end(mut self, name: &str) -> (String, Option<i32>) {
        signal(name, self.child.id());
        let mut rest = String::new();
        self.out.as_mut().unwrap().read_to_string(&mut rest).unwrap();
        (rest, self.child.wait().unwrap().code())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn inside(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// All of a list, which fits on a page.
async fn all(client: &mut Client, list: &str) -> Vec<Value> {
    let answer = client.get(&format!("/api/v1/crm/{list}?pageSize=100")).await;
    assert_eq!(answer.status, 200, "{list}: {}", answer.body);
    let items = answer.body["data"].as_array().unwrap().clone();
    assert_eq!(answer.body["total"], items.len());
    items
}

/// The values of a field, without null.
fn texts<'b>(items: &'b [Value], field: &str) -> Vec<&'b str> {
    items.iter().filter_map(|item| item[field].as_str()).collect()
}

/// Numbers that regulators keep for fiction: Ofcom's, the NANP's, the Bundesnetzagentur's and ARCEP's.
fn is_fictitious_phone(phone: &str) -> bool {
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    let ranges = [("441632960", 12), ("493023125", 12), ("3319900", 11)];
    let is_american = digits.len() == 11 && digits.starts_with('1') && digits[4..].starts_with("55501");
    is_american || ranges.iter().any(|(range, length)| digits.starts_with(range) && digits.len() == *length)
}

/// Domains that are nobody's (RFC 2606).
fn is_fictitious_email(email: &str) -> bool {
    [".example.com", ".example.net", ".example.org"].iter().any(|domain| email.ends_with(domain))
}

#[track_caller]
fn assert_fictitious(fields: &[(&[Value], &str)], is_fictitious: fn(&str) -> bool) {
    let values: Vec<&str> = fields.iter().flat_map(|(items, field)| texts(items, field)).collect();
    assert!(values.len() > 20, "{values:?}");
    assert_eq!(values.iter().find(|value| !is_fictitious(value)), None);
}

/// Every customer has one primary contact, some are signed, and they came over months.
#[track_caller]
fn assert_believable(customers: &[Value], contacts: &[Value], opportunities: &[Value], follow_ups: &[Value]) {
    for customer in customers {
        let own = contacts.iter().filter(|contact| contact["customerId"] == customer["customerId"]);
        assert_eq!(own.filter(|contact| contact["isPrimary"] == true).count(), 1, "{customer}");
    }
    assert!(customers.iter().any(|customer| customer["status"] == 1), "no contract is signed");
    for opportunity in opportunities {
        // Amounts are in the minor unit of ISO 4217: the yen has none.
        let per_dollar = if opportunity["currency"] == "JPY" { 150 } else { 100 };
        let dollars = opportunity["amountCents"].as_i64().unwrap() / per_dollar;
        assert!(dollars < 250_000, "{opportunity}");
    }
    let months: HashSet<&str> = texts(customers, "createdAt").into_iter().map(|time| &time[..7]).collect();
    assert!(months.len() >= 4, "{months:?}");
    let types: HashSet<&str> = texts(follow_ups, "followUpType").into_iter().collect();
    assert!(types.len() >= 4, "{types:?}");
}

#[tokio::test]
async fn the_printed_tokens_show_each_tenant_its_own_customers() {
    let temporary = tempfile::tempdir().unwrap();
    let demo = Demo::start(temporary.path(), &[]);
    let (mut stages, mut currencies, mut names) = (BTreeSet::new(), BTreeSet::new(), HashSet::new());
    let mut customers_of = Vec::new();
    for ((tenant, totals), [manager, reader]) in TENANTS.into_iter().zip(demo.tokens()) {
        let (mut manager, mut reader) = (demo.client(manager).await, demo.client(reader).await);
        let mut lists = Vec::new();
        for (list, total) in LISTS.into_iter().zip(totals) {
            let items = all(&mut manager, list).await;
            assert_eq!(items.len() as u64, total, "{tenant}: {list}");
            assert!(items.iter().all(|item| item["tenantId"] == tenant), "{tenant}: {list}");
            lists.push(items);
        }
        let [customers, contacts, opportunities, follow_ups] = <[Vec<Value>; 4]>::try_from(lists).unwrap();
        assert_fictitious(&[(&customers, "contactPhone"), (&contacts, "phone")], is_fictitious_phone);
        assert_fictitious(&[(&customers, "contactEmail"), (&contacts, "email")], is_fictitious_email);
        assert_believable(&customers, &contacts, &opportunities, &follow_ups);
        for name in texts(&customers, "name") {
            assert!(names.insert(name.to_owned()), "{name} is a customer twice");
        }
        let masked = all(&mut reader, "customers").await;
        assert!(texts(&masked, "contactPhone").iter().all(|phone| phone.contains('*')), "{masked:?}");
        let refused = reader.ask("POST", "/api/v1/crm/customers", "r-1", &json!({ "name": "x" })).await.unwrap();
        assert_eq!(refused.status, 403, "{}", refused.body);
        let created = manager
            .ask(
                "POST",
                "/api/v1/crm/contacts",
                "m-1",
                &json!({
            "customerId": customers[0]["customerId"], "name": "Somebody New" }),
            )
            .await
            .unwrap();
        assert_eq!(created.status, 201, "{}", created.body);

        stages.extend(opportunities.iter().map(|opportunity| opportunity["stage"].as_i64().unwrap()));
        currencies.extend(opportunities.iter().map(|opportunity| opportunity["currency"].to_string()));
        customers_of.push(customers);
    }
    assert_eq!(stages, BTreeSet::from([0, 1, 2, 3, 4, 5, 6]));
    assert!(currencies.len() >= 3, "{currencies:?}");

    let [[manager, _], _] = demo.tokens();
    let mut acme = demo.client(manager).await;
    let foreign = customers_of[1][0]["customerId"].as_str().unwrap();
    assert_eq!(acme.get(&format!("/api/v1/crm/customers/{foreign}")).await.status, 404);
}

#[tokio::test]
async fn the_printed_addresses_answer_and_the_curl_line_works() {
    let temporary = tempfile::tempdir().unwrap();
    let demo = Demo::start(temporary.path(), &[]);
    let [[manager, _], _] = demo.tokens();
    assert!(demo.addresses().iter().any(|address| address.ends_with("/metrics")), "{}", demo.printed);
    for address in demo.addresses().into_iter().filter(|address| !address.contains('?')) {
        let address = address.trim_matches('\'').strip_prefix("http://").unwrap();
        let (host, path) = address.split_at(address.find('/').unwrap());
        assert!(host.starts_with("127.0.0.1:"), "{address}");
        let answer = Client::connect(host).await.unwrap().with_token(manager).get(path).await;
        assert_eq!(answer.status, 200, "{address}");
    }
    let line = demo.printed.lines().find(|line| line.starts_with("curl ")).unwrap();
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&list["total"], fields(&list, "customerId").len()), (&json!(22), 3));
}

/// What the write path leaves is there: the trail, the events and their order.
#[tokio::test]
async fn the_customers_came_by_the_way_that_all_changes_come() {
    let temporary = tempfile::tempdir().unwrap();
    let demo = Demo::start(temporary.path(), &[]);
    let directory = inside(temporary.path()).remove(0);
    let url = format!("sqlite://{}", directory.join("crm.db").display());
    let verified = run_crm(&["audit", "verify"], &[("CRM_DATABASE_URL", &url)]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    for ((tenant, totals), [manager, _]) in TENANTS.into_iter().zip(demo.tokens()) {
        let line = verified.stdout.lines().find(|line| line.starts_with(&format!("{tenant}: "))).unwrap();
        let entries: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        let created: u64 = totals.iter().sum();
        assert!(entries > created && line.contains(", 0 not chained yet"), "{line}");

        let mut client = demo.client(manager).await;
        let trail = client.get("/api/v1/crm/audit-logs?pageSize=100").await.body;
        let actors: HashSet<&str> = fields(&trail, "actor").into_iter().collect();
        assert!(actors.len() >= 3 && actors.contains("erp"), "{actors:?}");
        let times = fields(&trail, "occurredAt");
        assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");

        let (mut query, mut happened) = ("limit=1000".to_owned(), Vec::new());
        loop {
            let page = client.get(&format!("/api/v1/crm/events?{query}&wait=1")).await.body;
            let types = fields(&page, "eventType").into_iter().map(str::to_owned).collect::<Vec<_>>();
            if types.is_empty() {
                break;
            }
            happened.extend(types);
            query = format!("limit=1000&after={}", page["cursor"].as_str().unwrap());
        }
        let count = |kind: &str| happened.iter().filter(|happened| *happened == kind).count() as u64;
        assert_eq!(count("crm.customer.created"), totals[0], "{happened:?}");
        assert_eq!(count("crm.opportunity.created"), totals[2]);
        assert!(count("crm.opportunity.closed") > 5);
    }
}

#[test]
fn a_demo_that_is_stopped_leaves_nothing() {
    let demos = ["-TERM", "-INT", "-HUP"].map(|name| {
        let temporary = tempfile::tempdir().unwrap();
        (name, Demo::launch(temporary.path(), &[]), temporary)
    });
    for (name, mut demo, temporary) in demos {
        demo.wait();
        assert_eq!(inside(temporary.path()).len(), 1);
        let (rest, code) = demo.end(name);
        assert_eq!((rest.as_str(), code), ("Everything is forgotten.\n", Some(0)), "{name}");
        assert_eq!(inside(temporary.path()), [] as [PathBuf; 0], "{name}");
    }
}

#[test]
fn a_demo_that_is_stopped_while_it_is_filled_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = command(&["demo", "--port", "0"], &[("TMPDIR", temporary.path().to_str().unwrap())]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut printed = String::new();
    out.read_line(&mut printed).unwrap();
    assert!(printed.starts_with("Filling"), "{printed}");
    signal("-TERM", child.id());
    out.read_to_string(&mut printed).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(printed.ends_with("Everything is forgotten.\n") && !printed.contains("Ready"), "{printed}");
    assert_eq!(inside(temporary.path()), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn a_killed_demo_leaves_nothing_readable_and_the_next_removes_it() {
    let temporary = tempfile::tempdir().unwrap();
    let killed = Demo::start(temporary.path(), &[]);
    // What each number and each address begins with, and its masked form in an event does not.
    let mut personal: HashSet<String> = HashSet::new();
    for [manager, _] in killed.tokens() {
        let contacts = all(&mut killed.client(manager).await, "contacts").await;
        let area = |phone: &str| phone.split_inclusive(' ').take(2).collect::<String>();
        personal.extend(texts(&contacts, "phone").into_iter().map(area));
        personal.extend(texts(&contacts, "email").iter().map(|email| email.split_inclusive('@').take(1).collect()));
    }
    assert!(["+44 1632 ", "+1 206 ", "nora.finch@"].iter().all(|part| personal.contains(*part)), "{personal:?}");
    let tokens: Vec<String> = killed.tokens().concat().into_iter().map(str::to_owned).collect();
    killed.end("-KILL");
    let directory = inside(temporary.path()).remove(0);
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    let files = inside(&directory);
    assert!(files.iter().any(|file| file.ends_with("crm.db")), "{files:?}");
    let mut holds_names = false;
    for file in &files {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("crm.db") && !name.ends_with(".keys"), "{name}");
        let bytes = fs::read(file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for secret in personal.iter().chain(&tokens) {
            assert!(!text.contains(secret.as_str()), "{name} holds {secret}");
        }
        // What is not sealed is found by looking so.
        holds_names |= text.contains("Halden Marine Supplies");
    }
    assert!(holds_names);
    let url = format!("sqlite://{}", directory.join("crm.db").display());
    let served = start_and_stop(&[("CRM_DATABASE_URL", &url)]);
    assert_eq!(served.code, Some(1), "{served:?}");
    assert!(served.stderr.contains("CRM_PII_KEYS: the key "), "{served:?}");

    // A link by such a name is none of ours.
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("precious"), "").unwrap();
    let link = temporary.path().join("crm-demo-link");
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    let running = Demo::start(temporary.path(), &[]);
    assert!(!directory.exists(), "what the killed one left is still there");
    let beside = Demo::start(temporary.path(), &[]);
    let [[manager, _], _] = running.tokens();
    assert_eq!(all(&mut running.client(manager).await, "customers").await.len(), 22);
    assert_eq!(inside(temporary.path()).len(), 3, "a running demo's directory was removed");
    drop((running, beside));
    assert!(link.exists() && elsewhere.path().join("precious").exists());
}

#[test]
fn what_is_configured_for_a_service_is_neither_used_nor_in_the_way() {
    let [temporary, data] = [(); 2].map(|()| TempDir::new().unwrap());
    let (database, folder) = (data.path().join("real.db"), data.path().join("data"));
    let url = format!("sqlite://{}", database.display());
    let variables = [
        ("CRM_DATABASE_URL", url.as_str()),
        ("CRM_DATA_DIR", folder.to_str().unwrap()),
        ("CRM_EVENTS_URL", "amqp://somebody:hunter2@127.0.0.1:1/"),
        ("CRM_JWT_PUBLIC_KEY_FILE", "/nowhere"),
        ("CRM_PII_KEYS", "not a key"),
        ("CRM_HOST", "0.0.0.0"),
    ];
    let demo = Demo::start(temporary.path(), &variables);
    let said = demo.printed.lines().next().unwrap();
    assert!(variables.iter().all(|(name, _)| said.contains(name)), "{said}");
    assert!(demo.address().starts_with("127.0.0.1:") && !demo.printed.contains("hunter2"), "{}", demo.printed);
    demo.end("-TERM");
    assert_eq!(inside(data.path()), [] as [PathBuf; 0]);
}

#[test]
fn a_port_in_use_is_told_and_nothing_is_left() {
    let temporary = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let variables = [("TMPDIR", temporary.path().to_str().unwrap()), ("CRM_PORT", &port)];
    let output = run_crm(&["demo"], &variables);
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{output:?}");
    let expected = format!("crm: cannot listen on 127.0.0.1:{port}: ");
    assert!(output.stderr.starts_with(&expected) && output.stderr.contains("--port 0"), "{output:?}");
    assert_eq!(inside(temporary.path()), [] as [PathBuf; 0]);
}

#[test]
fn a_demo_whose_directory_is_gone_does_not_fail_to_remove_it() {
    let temporary = tempfile::tempdir().unwrap();
    let demo = Demo::start(temporary.path(), &[]);
    fs::remove_dir_all(inside(temporary.path()).remove(0)).unwrap();
    // It ends with an error all the same: its database was lost while it was served.
    let (rest, code) = demo.end("-TERM");
    assert_eq!((rest.as_str(), code), ("Everything is forgotten.\n", Some(1)));
}

#[test]
fn a_demo_that_nobody_reads_any_more_ends_as_any_other() {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(temporary.path(), &[]);
    drop(demo.out.take());
    signal("-TERM", demo.child.id());
    assert_eq!(demo.child.wait().unwrap().code(), Some(0));
    assert_eq!(inside(temporary.path()), [] as [PathBuf; 0]);
}

/// Even if what the environment says is no port.
#[test]
fn a_port_that_is_given_goes_before_those_of_the_environment() {
    let temporary = tempfile::tempdir().unwrap();
    let demo = Demo::start(temporary.path(), &[("PORT", "tcp://10.0.0.1:80"), ("CRM_PORT", "99999")]);
    assert!(demo.address().starts_with("127.0.0.1:"), "{}", demo.printed);
}

#[test]
fn an_address_of_another_machine_is_told_without_advice_about_ports() {
    let output = run_crm(&["demo", "--port", "0", "--host", "192.0.2.1"], &[]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{output:?}");
    assert!(output.stderr.starts_with("crm: cannot listen on 192.0.2.1:0: "), "{output:?}");
    assert!(!output.stderr.contains("--port"), "{output:?}");
}

#[test]
fn demo_help_says_what_it_takes_from_the_environment() {
    let help = run_crm(&["demo", "--help"], &[]).stdout;
    for word in ["--port", "--host", "CRM_PORT", "else PORT", "TMPDIR", "CRM_LOG", "temporary", "forgotten"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}
