//! What goes from the audit trail when its time is over, and that the database lets nothing else go or change.

use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::{Value, json};

use crate::{
    audit::chain::{customers, many, numbered, sound},
    harness::{FAR, Service, on_postgres},
};

const DAY: i64 = 86_400_000;

#[tokio::test]
async fn the_retention_takes_what_is_due_in_the_order_of_the_chain_and_leaves_it_verifiable() {
    let service = Service::start().await;
    customers(&service, "default", 3).await;
    customers(&service, "other", 1).await;
    service.pass(10 * DAY);
    customers(&service, "default", 2).await;
    service.app.chain_audit_entries().await.unwrap();

    // To the millisecond: what is 180 days old is kept, what is older goes.
    service.pass(170 * DAY);
    assert_eq!(service.app.purge().await.unwrap().entries, 0);
    let all = service.trail("").await;
    service.pass(1);
    assert_eq!(service.app.purge().await.unwrap().entries, 4);
    assert_eq!(service.trail("").await, all[..2]);
    let verdicts = sound(&service).await;
    let seen: Vec<_> = verdicts.iter().map(|verdict| (&*verdict.tenant, verdict.verified, verdict.head.0)).collect();
    assert_eq!(seen, [("default", 2, 5), ("other", 0, 1)]);
    numbered(&service, "default", 4..=5).await;
    assert_eq!(service.app.purge().await.unwrap().entries, 0);

    // The chain goes on from where it was, also where nothing is left of it.
    customers(&service, "default", 1).await;
    customers(&service, "other", 1).await;
    service.app.chain_audit_entries().await.unwrap();
    sound(&service).await;
    numbered(&service, "default", 4..=6).await;
    numbered(&service, "other", 2..=2).await;
}

#[tokio::test]
async fn entries_that_are_old_and_not_chained_stay_until_they_are() {
    let service = Service::start().await;
    customers(&service, "default", 2).await;
    service.app.chain_audit_entries().await.unwrap();
    customers(&service, "default", 2).await;
    customers(&service, "unchained", 1).await;
    service.pass(181 * DAY);
    assert_eq!(service.app.purge().await.unwrap().entries, 2);
    assert_eq!(service.trail("").await.len(), 2);
    let verdicts = sound(&service).await;
    assert_eq!(verdicts.iter().map(|verdict| verdict.waiting).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(service.app.chain_audit_entries().await.unwrap(), 3);
    assert_eq!(service.app.purge().await.unwrap().entries, 3);
    assert_eq!(service.trail("").await, [] as [Value; 0]);
    let verdicts = sound(&service).await;
    assert_eq!(verdicts.iter().map(|verdict| verdict.head.0).collect::<Vec<_>>(), [4, 1]);
}

#[tokio::test]
async fn an_old_entry_behind_one_that_is_not_due_waits_for_it() {
    let service = Service::start().await;
    service.pass(10 * DAY);
    customers(&service, "default", 1).await;
    service.app.chain_audit_entries().await.unwrap();
    // A process whose clock is behind writes an entry that is older, and comes later in the chain.
    service.pass(-10 * DAY);
    customers(&service, "default", 1).await;
    service.app.chain_audit_entries().await.unwrap();
    service.pass(181 * DAY);
    assert_eq!(service.app.purge().await.unwrap().entries, 0);
    sound(&service).await;
    service.pass(10 * DAY);
    assert_eq!(service.app.purge().await.unwrap().entries, 2);
    sound(&service).await;
}

#[tokio::test]
async fn a_longer_retention_is_kept_and_more_than_a_batch_goes_at_once() {
    let service = Service::with(&[("CRM_AUDIT_RETENTION_DAYS", "200")]).await;
    customers(&service, "default", 1).await;
    service.app.chain_audit_entries().await.unwrap();
    many(&service, "default", 1100).await;
    service.app.chain_audit_entries().await.unwrap();
    service.pass(200 * DAY);
    customers(&service, "default", 1).await;
    service.app.chain_audit_entries().await.unwrap();
    assert_eq!(service.app.purge().await.unwrap().entries, 0);
    service.pass(1);
    assert_eq!(service.app.purge().await.unwrap().entries, 1101);
    assert_eq!(sound(&service).await[0].verified, 1);
    numbered(&service, "default", 1102..=1102).await;
}

#[tokio::test]
async fn a_request_id_is_free_again_after_30_days_and_not_before() {
    let service = Service::start().await;
    let used = async |request_id: &str| {
        let call = service.post("/customers", json!({ "name": "x" })).request_id(request_id);
        call.claims(json!({ "exp": FAR })).send().await.status.as_u16()
    };
    assert_eq!(used("old").await, 201);
    service.pass(1);
    assert_eq!(used("young").await, 201);
    service.pass(30 * DAY - 1);
    assert_eq!(service.app.purge().await.unwrap().request_ids, 0);
    assert_eq!(used("old").await, 409);
    service.pass(1);
    assert_eq!(service.app.purge().await.unwrap().request_ids, 1);
    assert_eq!((used("young").await, used("old").await, used("old").await), (409, 201, 409));
    assert_eq!(service.trail("action=create").await.len(), 3, "the entries are kept longer");
    // More than two batches.
    let many = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2100) \
                INSERT INTO idempotent (tenant_id, request_id, resource_type, resource_id, created_at) \
                SELECT tenant_id, 'many-' || n, resource_type, resource_id, created_at \
                FROM numbers, (SELECT * FROM idempotent WHERE request_id = 'young') young";
    service.database.connect().await.execute_unprepared(many).await.unwrap();
    service.pass(31 * DAY);
    assert_eq!(service.app.purge().await.unwrap().request_ids, 2102);
    assert_eq!(service.app.purge().await.unwrap().request_ids, 0);
}

/// Fails unless the database refuses the statement with this reason.
async fn refused(database: &DatabaseConnection, sql: &str, reason: &str) {
    let error = database.execute_unprepared(sql).await.expect_err(sql).to_string();
    assert!(error.contains(reason), "{sql}: {error}");
}

#[tokio::test]
async fn the_database_itself_refuses_to_change_the_trail_or_to_delete_what_is_not_due() {
    let service = Service::start().await;
    service.customer().await;
    service.customer().await;
    service.app.chain_audit_entries().await.unwrap();
    service.customer().await;
    let database = service.database.connect().await;
    for column in [
        "actor = 'x'",
        "client = 'x'",
        "action = 'read'",
        "resource_type = 'x'",
        "resource_id = NULL",
        "summary = 'x'",
        "changes = '[]'",
        "trace_id = 'x'",
        "request_id = 'x'",
        "tenant_id = 'x'",
        "occurred_at = occurred_at",
    ] {
        refused(&database, &format!("UPDATE audit_logs SET {column}"), "audit entries are never changed").await;
    }
    let by_retention = "audit entries are deleted by the retention alone";
    refused(&database, "DELETE FROM audit_logs", by_retention).await;
    for column in ["hash = 'x'", "sequence = sequence + 10", "tenant_id = 'x'", "audit_log_id = audit_log_id"] {
        refused(&database, &format!("UPDATE audit_chain SET {column}"), "the audit chain is never changed").await;
    }
    refused(&database, "DELETE FROM audit_chain", "the audit chain is deleted by the retention alone").await;
    let back = "the head of an audit chain never goes back";
    for head in ["sequence = sequence - 1", "purged_sequence = -1", "purged_sequence = sequence + 1", "tenant_id = 'x'"]
    {
        refused(&database, &format!("UPDATE audit_heads SET {head}"), back).await;
    }
    refused(&database, "DELETE FROM audit_heads", "the head of an audit chain stays").await;
    if on_postgres() {
        for table in ["audit_logs", "audit_chain", "audit_heads"] {
            let why = "the audit trail is deleted by the retention alone";
            refused(&database, &format!("TRUNCATE {table}"), why).await;
            refused(&database, &format!("TRUNCATE {table} CASCADE"), why).await;
        }
    }
    assert_eq!(service.trail("").await.len(), 3);
    // Whoever moves the head may delete what it passed and is old by the database's own clock, as the retention does;
    // the third entry is not chained and stays.
    database.execute_unprepared("UPDATE audit_heads SET purged_sequence = 1").await.unwrap();
    refused(&database, "UPDATE audit_heads SET purged_sequence = 0", back).await;
    let of = |number: u8| format!("audit_log_id = (SELECT audit_log_id FROM audit_chain WHERE sequence = {number})");
    refused(&database, &format!("DELETE FROM audit_logs WHERE {}", of(2)), by_retention).await;
    database.execute_unprepared(&format!("DELETE FROM audit_logs WHERE {}", of(1))).await.unwrap();
    database.execute_unprepared("DELETE FROM audit_chain WHERE sequence = 1").await.unwrap();
    assert_eq!(service.trail("").await.len(), 2);
}

#[tokio::test]
async fn an_entry_that_is_young_by_the_databases_own_clock_stays_whatever_the_head_says() {
    let service = Service::start().await;
    // By the service's clock a hundred years from now: young for as long as this test is run.
    service.pass(100 * 365 * DAY);
    let claims = json!({ "exp": FAR });
    service.post("/customers", json!({ "name": "x" })).claims(claims).send().await.expect(201);
    service.app.chain_audit_entries().await.unwrap();
    let database = service.database.connect().await;
    database.execute_unprepared("UPDATE audit_heads SET purged_sequence = sequence").await.unwrap();
    refused(&database, "DELETE FROM audit_logs", "audit entries are deleted by the retention alone").await;
    assert_eq!(service.trail("").await.len(), 1);
}
