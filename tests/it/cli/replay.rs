//! `crm outbox replay`, as an operator sees it.

use serde_json::json;

use crate::harness::{
    PII_KEYS, Service,
    broker::{MemoryBroker, drain, relay_to},
    run_crm,
};

#[tokio::test]
async fn outbox_replay_says_what_is_wrong_before_it_sends_anything() {
    let service = Service::start().await;
    service.create("/customers", json!({ "name": "Acme" })).await;
    drain(&service.app, &mut relay_to(&service.app, std::sync::Arc::new(MemoryBroker::default()))).await;
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
