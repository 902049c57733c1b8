//! `crm outbox replay`, as an operator sees it.

use std::{process::Stdio, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{net::TcpListener, time::timeout};

use crate::harness::{
    PII_KEYS, Service,
    broker::{MemoryBroker, drain, relay_to},
    command, run_crm, signal,
};

#[tokio::test]
async fn outbox_replay_says_what_is_wrong_before_it_sends_anything() {
    let service = Service::start().await;
    service.create("/customers", json!({ "name": "Acme" })).await;
    drain(&service.app, &mut relay_to(&service.app, Arc::new(MemoryBroker::default()))).await;
    let url = service.database.url();
    let own = [("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_KEYS", PII_KEYS)];
    let with_broker = [&own[..], &[("CRM_EVENTS_URL", "amqp://guest:canary@127.0.0.1:1")]].concat();
    for (variables, arguments, expected) in [
        (&own[..], &["--from", "1"][..], "CRM_EVENTS_URL: is needed"),
        (&with_broker, &["--from", "2"], "--from 2: the last position is 1"),
        (&with_broker, &["--from", "0"], "0 is not in 1.."),
        (
            &with_broker,
            &["--from", "1", "--types", "crm.customer.created,crm.customer.made"],
            "\"crm.customer.made\" is not",
        ),
        (&with_broker, &["--from", "1", "--types", "x"], "crm.opportunity.reopened"),
        (&with_broker, &["--from", "1", "--tenant", "a b"], "--tenant must be 1 to 64"),
        (&with_broker, &["--since", "yesterday"], "must be a time like 2026-01-31T09:30:00Z"),
        (&with_broker, &["--since", "2026-01-31T09:30:00Z", "--from", "1"], "cannot be used with"),
        (&with_broker, &[], "--from <POSITION>"),
        (&with_broker, &["--from", "1"], "the broker is down"),
    ] {
        let output = run_crm(&[&["outbox", "replay"], arguments].concat(), variables);
        assert_ne!(output.code, Some(0), "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(expected), "{arguments:?}: {output:?}");
        assert!(!output.stderr.contains("canary"), "{output:?}");
    }
    let down = run_crm(&["outbox", "replay", "--from", "1", "--types", "crm.customer.created"], &with_broker);
    assert!(down.stdout.contains("0 of 1 events were sent again"), "{down:?}");
    let go_on = "go on with: crm outbox replay --from 1 --types crm.customer.created";
    assert!(down.stderr.contains(go_on), "{down:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_outbox_replay_says_how_to_go_on() {
    let service = Service::start().await;
    for _ in 0..3 {
        service.customer().await;
    }
    drain(&service.app, &mut relay_to(&service.app, Arc::new(MemoryBroker::default()))).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, broker) = (service.database.url(), format!("amqp://127.0.0.1:{}", silent.local_addr().unwrap().port()));
    let variables = [("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_KEYS", PII_KEYS), ("CRM_EVENTS_URL", &broker)];
    let mut replay = command(&["outbox", "replay", "--from", "2", "--tenant", "default"], &variables);
    let replay = replay.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _connected = timeout(Duration::from_secs(60), silent.accept()).await.expect("it does not connect").unwrap();
    signal("-INT", replay.id());
    let output = tokio::task::spawn_blocking(|| replay.wait_with_output()).await.unwrap().unwrap();
    let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{out}{error}");
    assert!(out.contains("0 of 2 events were sent again"), "{out}");
    assert!(error.contains("interrupted; go on with: crm outbox replay --from 2 --tenant default"), "{error}");
}
