//! Refusals that repeat: counted, not recorded one by one.

use std::collections::BTreeSet;

use crm::{audit::Refused, auth::Actor, telemetry::metrics::RefusalOutcome, values::Tenant};
use serde_json::{Value, json};

use crate::harness::{FAR_FUTURE, SECRET, Service, sign_hs256};

const MINUTE: i64 = 60_000;

/// Refuses a deletion to this actor of the default tenant.
async fn refuse(service: &Service, actor: &str, path: &str) {
    let reader = json!({ "sub": actor, "scope": "crm:read", "exp": FAR_FUTURE });
    service.delete(path).claims(reader).send().await.expect(403);
}

/// Writes what waits, and returns the summaries of all refusals, sorted.
async fn summaries(service: &Service) -> Vec<String> {
    while service.app.audit_queue().flush(service.app.database()).await.unwrap() > 0 {}
    let call = service.get("/audit-logs?action=refuse&pageSize=100");
    let list = call.claims(json!({ "scope": "crm:audit:read", "exp": FAR_FUTURE })).send().await.expect(200).body;
    let summary = |entry: &Value| entry["summary"].as_str().unwrap().to_owned();
    let mut all: Vec<_> = list["data"].as_array().unwrap().iter().map(summary).collect();
    all.sort();
    all
}

fn count(service: &Service, outcome: &str) -> u64 {
    let name = format!("crm_audit_refusals_total{{outcome=\"{outcome}\"}} ");
    let text = service.app.metrics().text();
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap()
}

#[tokio::test]
async fn a_million_refusals_leave_one_entry_a_minute() {
    let service = Service::start().await;
    assert_eq!((count(&service, "recorded"), count(&service, "collapsed"), count(&service, "dropped")), (0, 0, 0));
    for number in 0..100 {
        refuse(&service, "busy", &format!("/customers/{number}")).await;
    }
    assert_eq!((count(&service, "recorded"), count(&service, "collapsed")), (1, 99));
    let tenant = Tenant::parse("default").unwrap();
    let (name, client) = ("busy".to_owned(), None);
    let actor = Actor { tenant, name, client, request_id: "x".to_owned(), trace_id: String::new() };
    let refused = Refused {
        actor,
        operation: "DELETE /customers/{customer_id}".to_owned(),
        status: 403,
        reason: "the token lacks the scope crm:write".to_owned(),
        resource: (None, None),
    };
    for _ in 100..1_000_000 {
        assert_eq!(service.app.refusals().record(refused.clone()), RefusalOutcome::collapsed);
    }
    let first = "was refused DELETE /customers/{customer_id}: 403 the token lacks the scope crm:write";
    assert_eq!(summaries(&service).await, [first]);
    // The minute is not over.
    service.advance(MINUTE - 1);
    service.app.refusals().write_due();
    assert_eq!(summaries(&service).await, [first]);
    service.advance(1);
    service.app.refusals().write_due();
    let counted =
        "was refused 999999 times more: DELETE /customers/{customer_id}: 403 the token lacks the scope crm:write";
    assert_eq!(summaries(&service).await, [counted, first]);

    // It goes on: one entry a minute.
    for minute in 1..4 {
        refuse(&service, "busy", "/customers/x").await;
        refuse(&service, "busy", "/customers/x").await;
        service.advance(MINUTE);
        service.app.refusals().write_due();
        assert_eq!(summaries(&service).await.len(), 2 + minute);
    }
    // After a minute without, the next one is recorded at once.
    service.advance(MINUTE);
    service.app.refusals().write_due();
    refuse(&service, "busy", "/customers/x").await;
    assert_eq!(summaries(&service).await.len(), 6);
    assert_eq!(count(&service, "recorded"), 2);
}

#[tokio::test]
async fn other_actors_operations_and_statuses_are_not_counted_together() {
    let service = Service::start().await;
    let customer = service.customer().await;
    for _ in 0..3 {
        refuse(&service, "one", &format!("/customers/{customer}")).await;
        refuse(&service, "other", &format!("/customers/{customer}")).await;
        refuse(&service, "one", "/contacts/x").await;
        let twice = || service.post("/customers", json!({ "name": "x" })).request_id("once");
        twice().send().await;
    }
    service.app.refusals().write_all();
    let all = summaries(&service).await;
    // Three refusals each, of which the last two are counted; two duplicates.
    assert_eq!(all.len(), 8, "{all:?}");
    assert_eq!(all.iter().filter(|summary| summary.starts_with("was refused 2 times more: ")).count(), 3);
    assert_eq!(all.iter().filter(|summary| summary.starts_with("was refused POST /customers: 409")).count(), 2);
}

#[tokio::test]
async fn a_tenant_has_sixty_refusals_a_minute_and_one_that_counts_the_rest() {
    let service = Service::start().await;
    for number in 0..200 {
        refuse(&service, &format!("actor-{number}"), "/customers/x").await;
    }
    let others = json!({ "sub": "x", "scope": "crm:read", "exp": FAR_FUTURE });
    service.delete("/customers/x").tenant("other").claims(others).send().await.expect(403);
    assert_eq!(summaries(&service).await.len(), 60);
    assert_eq!((count(&service, "recorded"), count(&service, "collapsed")), (61, 140));
    service.advance(MINUTE);
    service.app.refusals().write_due();
    let all: BTreeSet<_> = summaries(&service).await.into_iter().collect();
    let rest = "was refused 140 times more: several operations: 403 more than 60 callers and operations were refused";
    assert!(all.contains(rest), "{all:?}");
}

#[tokio::test]
async fn an_invalid_token_leaves_no_entry() {
    let service = Service::start().await;
    let expired = sign_hs256(&json!({ "sub": "late", "exp": 1 }), SECRET);
    for _ in 0..100 {
        service.get("/customers").token(&expired).send().await.expect(401);
    }
    service.app.refusals().write_all();
    assert_eq!(summaries(&service).await, [""; 0]);
}
