//! Retention: what is purged when, and that the database protects the rest.

use crm::{audit::chain, background};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::{Value, json};

use crate::harness::{
    DAY, FAR_FUTURE, Service,
    audit::{assert_intact, assert_numbered, copy_entry, create_customers},
    on_postgres,
};

#[tokio::test]
async fn due_entries_are_purged_in_chain_order_and_the_rest_verifies() {
    let service = Service::start().await;
    create_customers(&service, "default", 3).await;
    create_customers(&service, "other", 1).await;
    service.advance(10 * DAY);
    create_customers(&service, "default", 2).await;
    chain::link_entries(service.app.database()).await.unwrap();

    // An entry of exactly 180 days is kept.
    service.advance(170 * DAY);
    assert_eq!(background::purge(&service.app).await.unwrap().entries, 0);
    let all = service.trail("").await;
    service.advance(1);
    assert_eq!(background::purge(&service.app).await.unwrap().entries, 4);
    assert_eq!(service.trail("").await, all[..2]);
    let verdicts = assert_intact(&service).await;
    let seen: Vec<_> = verdicts.iter().map(|verdict| (&*verdict.tenant, verdict.verified, verdict.head.0)).collect();
    assert_eq!(seen, [("default", 2, 5), ("other", 0, 1)]);
    assert_numbered(&service, "default", 4..=5).await;
    assert_eq!(background::purge(&service.app).await.unwrap().entries, 0);

    // The chain continues where it was, even if no entry is left.
    create_customers(&service, "default", 1).await;
    create_customers(&service, "other", 1).await;
    chain::link_entries(service.app.database()).await.unwrap();
    assert_intact(&service).await;
    assert_numbered(&service, "default", 4..=6).await;
    assert_numbered(&service, "other", 2..=2).await;
}

#[tokio::test]
async fn old_entries_are_kept_until_they_are_chained() {
    let service = Service::start().await;
    create_customers(&service, "default", 2).await;
    chain::link_entries(service.app.database()).await.unwrap();
    create_customers(&service, "default", 2).await;
    create_customers(&service, "unchained", 1).await;
    service.advance(181 * DAY);
    assert_eq!(background::purge(&service.app).await.unwrap().entries, 2);
    assert_eq!(service.trail("").await.len(), 2);
    let verdicts = assert_intact(&service).await;
    assert_eq!(verdicts.iter().map(|verdict| verdict.waiting).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(chain::link_entries(service.app.database()).await.unwrap(), 3);
    assert_eq!(background::purge(&service.app).await.unwrap().entries, 3);
    assert_eq!(service.trail("").await, [] as [Value; 0]);
    let verdicts = assert_intact(&service).await;
    assert_eq!(verdicts.iter().map(|verdict| verdict.head.0).collect::<Vec<_>>(), [4, 1]);
}

#[tokio::test]
async fn an_old_entry_behind_a_younger_one_waits_for_it() {
    let service = Service::start().await;
    service.advance(10 * DAY);
    create_customers(&service, "default", 1).await;
    chain::link_entries(service.app.database()).await.unwrap();
    // A process whose clock is behind appends an older entry.
    service.advance(-10 * DAY);
    create_customers(&service, "default", 1).await;
    chain::link_entries(service.app.database()).await.unwrap();
    service.advance(181 * DAY);
    assert_eq!(background::purge(&service.app).await.unwrap().entries, 0);
    assert_intact(&service).await;
    service.advance(10 * DAY);
    assert_eq!(background::purge(&service.app).await.unwrap().entries, 2);
    assert_intact(&service).await;
}

#[tokio::test]
async fn a_longer_retention_holds_and_one_purge_takes_several_batches() {
    let service = Service::with(&[("CRM_AUDIT_RETENTION_DAYS", "200")]).await;
    create_customers(&service, "default", 1).await;
    chain::link_entries(service.app.database()).await.unwrap();
    copy_entry(&service, "default", 1100).await;
    chain::link_entries(service.app.database()).await.unwrap();
    service.advance(200 * DAY);
    create_customers(&service, "default", 1).await;
    chain::link_entries(service.app.database()).await.unwrap();
    assert_eq!(background::purge(&service.app).await.unwrap().entries, 0);
    service.advance(1);
    assert_eq!(background::purge(&service.app).await.unwrap().entries, 1101);
    assert_eq!(assert_intact(&service).await[0].verified, 1);
    assert_numbered(&service, "default", 1102..=1102).await;
}

#[tokio::test]
async fn a_request_id_can_be_reused_after_30_days_and_not_before() {
    let service = Service::start().await;
    let post = async |request_id: &str| {
        let call = service.post("/customers", json!({ "name": "x" })).request_id(request_id);
        call.claims(json!({ "exp": FAR_FUTURE })).send().await.status.as_u16()
    };
    assert_eq!(post("old").await, 201);
    service.advance(1);
    assert_eq!(post("young").await, 201);
    service.advance(30 * DAY - 1);
    assert_eq!(background::purge(&service.app).await.unwrap().request_ids, 0);
    assert_eq!(post("old").await, 409);
    service.advance(1);
    assert_eq!(background::purge(&service.app).await.unwrap().request_ids, 1);
    assert_eq!((post("young").await, post("old").await, post("old").await), (409, 201, 409));
    assert_eq!(service.trail("action=create").await.len(), 3, "audit entries are kept longer");
    // More than two batches at once.
    let many = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2100) \
                INSERT INTO idempotent (tenant_id, request_id, resource_type, resource_id, created_at) \
                SELECT tenant_id, 'many-' || n, resource_type, resource_id, created_at \
                FROM numbers, (SELECT * FROM idempotent WHERE request_id = 'young') young";
    service.database.connect().await.execute_unprepared(many).await.unwrap();
    service.advance(31 * DAY);
    assert_eq!(background::purge(&service.app).await.unwrap().request_ids, 2102);
    assert_eq!(background::purge(&service.app).await.unwrap().request_ids, 0);
}

/// Fails unless the database rejects the statement for this reason.
async fn assert_rejected(database: &DatabaseConnection, sql: &str, reason: &str) {
    let error = database.execute_unprepared(sql).await.expect_err(sql).to_string();
    assert!(error.contains(reason), "{sql}: {error}");
}

#[tokio::test]
async fn the_database_refuses_to_change_entries_or_delete_them_early() {
    let service = Service::start().await;
    service.customer().await;
    service.customer().await;
    chain::link_entries(service.app.database()).await.unwrap();
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
        assert_rejected(&database, &format!("UPDATE audit_logs SET {column}"), "audit entries are never changed").await;
    }
    let by_retention = "audit entries are deleted by the retention alone";
    assert_rejected(&database, "DELETE FROM audit_logs", by_retention).await;
    for column in ["hash = 'x'", "sequence = sequence + 10", "tenant_id = 'x'", "audit_log_id = audit_log_id"] {
        assert_rejected(&database, &format!("UPDATE audit_chain SET {column}"), "the audit chain is never changed")
            .await;
    }
    assert_rejected(&database, "DELETE FROM audit_chain", "the audit chain is deleted by the retention alone").await;
    let back = "the head of an audit chain never goes back";
    for head in ["sequence = sequence - 1", "purged_sequence = -1", "purged_sequence = sequence + 1", "tenant_id = 'x'"]
    {
        assert_rejected(&database, &format!("UPDATE audit_heads SET {head}"), back).await;
    }
    assert_rejected(&database, "DELETE FROM audit_heads", "the head of an audit chain stays").await;
    if on_postgres() {
        for table in ["audit_logs", "audit_chain", "audit_heads"] {
            let why = "the audit trail is deleted by the retention alone";
            assert_rejected(&database, &format!("TRUNCATE {table}"), why).await;
            assert_rejected(&database, &format!("TRUNCATE {table} CASCADE"), why).await;
        }
    }
    assert_eq!(service.trail("").await.len(), 3);
    // As the retention does: once the head has passed an entry, it may be deleted if it is old by the database's own
    // clock.
    database.execute_unprepared("UPDATE audit_heads SET purged_sequence = 1").await.unwrap();
    assert_rejected(&database, "UPDATE audit_heads SET purged_sequence = 0", back).await;
    let of = |number: u8| format!("audit_log_id = (SELECT audit_log_id FROM audit_chain WHERE sequence = {number})");
    assert_rejected(&database, &format!("DELETE FROM audit_logs WHERE {}", of(2)), by_retention).await;
    database.execute_unprepared(&format!("DELETE FROM audit_logs WHERE {}", of(1))).await.unwrap();
    database.execute_unprepared("DELETE FROM audit_chain WHERE sequence = 1").await.unwrap();
    assert_eq!(service.trail("").await.len(), 2);
}

#[tokio::test]
async fn the_database_keeps_entries_young_by_its_own_clock() {
    let service = Service::start().await;
    // Young for a hundred years by the database's clock, which a test cannot set.
    service.advance(100 * 365 * DAY);
    let claims = json!({ "exp": FAR_FUTURE });
    service.post("/customers", json!({ "name": "x" })).claims(claims).send().await.expect(201);
    chain::link_entries(service.app.database()).await.unwrap();
    let database = service.database.connect().await;
    database.execute_unprepared("UPDATE audit_heads SET purged_sequence = sequence").await.unwrap();
    assert_rejected(&database, "DELETE FROM audit_logs", "audit entries are deleted by the retention alone").await;
    assert_eq!(service.trail("").await.len(), 1);
}
