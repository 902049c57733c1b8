//! `crm audit`: long runs that are interrupted, and gone on with.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crm::audit::chain::{self, Reached};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::{Service, audit::copy_entry, command, run_crm, signal};

/// More entries than are verified at once.
const ENTRIES: u64 = 1_100;

#[tokio::test]
async fn a_verification_that_is_stopped_goes_on_and_finds_the_same() {
    let service = Service::start().await;
    for _ in 0..ENTRIES {
        service.post("/customers", json!({ "name": "x" })).send_unchecked().await.expect(201);
    }
    service.post("/customers", json!({ "name": "x" })).tenant("other").send().await.expect(201);
    let database = service.app.database();
    while chain::link_entries(database).await.unwrap() > 0 {}
    let whole = chain::verify(database).await.unwrap();
    let (mut from, mut verified, mut runs) = (None, 0, 0);
    let last = loop {
        let (stop, gone_through) = (CancellationToken::new(), AtomicU64::new(0));
        let progress = |entries| {
            gone_through.fetch_add(entries, Ordering::SeqCst);
            stop.cancel();
        };
        let (verdicts, reached) = chain::verify_from(database, from.as_ref(), &progress, &stop).await.unwrap();
        runs += 1;
        assert!(runs < 20 && verdicts.iter().all(|verdict| verdict.faults.is_empty()), "{verdicts:?}");
        verified += verdicts.iter().map(|verdict| verdict.verified).sum::<u64>();
        assert!(gone_through.into_inner() <= ENTRIES / 2, "it was not stopped");
        match reached {
            Some(reached) => from = Some(reached),
            None => break verdicts,
        }
    };
    assert!(runs > 2, "{runs}");
    assert_eq!(verified, ENTRIES + 1);
    assert_eq!(last.last().unwrap().head, whole.last().unwrap().head);
    // By the command, and from a hash that the trail never had.
    let url = service.database.url();
    let verify = |from: &Reached| {
        let from = format!("{}/{}/{}", from.tenant, from.number, from.hash);
        run_crm(&["audit", "verify", "--from", &from], &[("CRM_DATABASE_URL", &url)])
    };
    let head = Reached { tenant: "default".to_owned(), number: whole[0].head.0, hash: whole[0].head.1.clone() };
    let output = verify(&head);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.starts_with("default: 0 entries verified, 0 not chained yet, head 1100 "), "{output:?}");
    let output = verify(&Reached { number: 1_000, ..head.clone() });
    assert_eq!(output.code, Some(1));
    assert!(output.stdout.contains("number 1001, or the chain before it was changed"), "{output:?}");
    let output = verify(&Reached { tenant: "nobody".to_owned(), ..head });
    assert!(output.error().contains("--from: there is nothing of this tenant"), "{output:?}");
}

#[tokio::test]
async fn an_export_that_is_interrupted_is_gone_on_with_behind_its_last_line() {
    let service = Service::start().await;
    for tenant in ["default", "other"] {
        service.post("/customers", json!({ "name": "x" })).tenant(tenant).send().await.expect(201);
    }
    chain::link_entries(service.app.database()).await.unwrap();
    copy_entry(&service, "default", 5_000).await;
    let url = service.database.url();
    let variables = [("CRM_DATABASE_URL", url.as_str())];
    let whole = run_crm(&["audit", "export"], &variables).stdout;
    assert_eq!(whole.lines().count(), 5_002);
    let mut child =
        command(&["audit", "export"], &variables).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // What does not fit into the pipe waits until the rest is read.
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut printed = String::new();
    out.read_line(&mut printed).unwrap();
    signal("-INT", child.id());
    // It is delivered to a process that waits in a write; nothing shows when.
    tokio::time::sleep(Duration::from_millis(200)).await;
    out.read_to_string(&mut printed).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    assert!(printed.lines().count() < 5_002, "it was not interrupted");
    let after = said.split_once("go on with: crm audit export --after ").unwrap().1.trim();
    let rest = run_crm(&["audit", "export", "--after", after], &variables);
    assert_eq!(rest.code, Some(0), "{rest:?}");
    assert!(printed + &rest.stdout == whole, "lines are missing, or stand twice");
    // Any line says where to go on.
    let line: Value = serde_json::from_str(whole.lines().nth(4_321).unwrap()).unwrap();
    let [tenant, at, entry] = ["tenantId", "occurredAt", "auditLogId"].map(|field| line[field].as_str().unwrap());
    let rest = run_crm(&["audit", "export", "--after", &format!("{tenant}/{at}/{entry}")], &variables);
    assert_eq!(rest.stdout.lines().collect::<Vec<_>>(), whole.lines().skip(4_322).collect::<Vec<_>>());
}
