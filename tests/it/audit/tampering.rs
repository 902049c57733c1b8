//! Tampering that is harder to detect: replaced rows, unreadable entries, entries made old for the retention to delete.

use crm::{
    audit::chain::{self, verify},
    background,
};
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::harness::{
    DAY, Service, TestDatabase,
    audit::{create_customers, drop_triggers},
    on_postgres,
};

#[tokio::test]
async fn an_unreadable_entry_is_a_fault_of_its_tenant_alone() {
    let service = Service::start().await;
    create_customers(&service, "default", 2).await;
    create_customers(&service, "other", 2).await;
    chain::link_entries(service.app.database()).await.unwrap();
    let database = service.database.connect().await;
    drop_triggers(&database).await;
    let edit = "UPDATE audit_logs SET action = 'nonsense' WHERE tenant_id = 'default'";
    database.execute_unprepared(edit).await.unwrap();
    let verdicts = verify(service.app.database()).await.unwrap();
    let faults = |tenant: usize| verdicts[tenant].faults.len();
    assert_eq!((faults(0) > 0, faults(1)), (true, 0), "{verdicts:?}");
}

#[tokio::test]
async fn purging_does_not_hide_a_removed_or_backdated_entry() {
    for (tamper, what) in [
        ("DELETE FROM audit_logs WHERE audit_log_id = ", "removed"),
        ("UPDATE audit_logs SET occurred_at = '2020-01-01 00:00:00.000+00:00' WHERE audit_log_id = ", "made old"),
    ] {
        let service = Service::start().await;
        create_customers(&service, "default", 3).await;
        chain::link_entries(service.app.database()).await.unwrap();
        let database = service.database.connect().await;
        drop_triggers(&database).await;
        let first = "(SELECT audit_log_id FROM audit_chain WHERE sequence = 1)";
        database.execute_unprepared(&format!("{tamper}{first}")).await.unwrap();
        service.advance(DAY);
        assert_eq!(background::purge(&service.app).await.unwrap().entries, 0);
        let verdicts = verify(service.app.database()).await.unwrap();
        assert!(!verdicts[0].faults.is_empty(), "{what}: {verdicts:?}");
    }
}

#[tokio::test]
async fn sqlite_refuses_to_replace_rows_of_the_trail() {
    let service = Service::on(TestDatabase::sqlite(), &[]).await;
    create_customers(&service, "default", 2).await;
    chain::link_entries(service.app.database()).await.unwrap();
    let database = service.database.connect().await;
    for sql in [
        "REPLACE INTO audit_logs SELECT tenant_id, audit_log_id, occurred_at, 'nobody', client, action, resource_type, \
         resource_id, request_id, trace_id, changes, summary, knows_timeline FROM audit_logs",
        "REPLACE INTO audit_chain SELECT tenant_id, sequence, audit_log_id, 'x' FROM audit_chain",
        "REPLACE INTO audit_chain SELECT tenant_id, sequence + 10, audit_log_id, 'x' FROM audit_chain",
        "REPLACE INTO audit_heads SELECT tenant_id, 1, hash, 0, '' FROM audit_heads",
    ] {
        let refusal = database.execute_unprepared(sql).await.unwrap_err().to_string();
        assert!(refusal.contains("the audit trail only grows"), "{refusal}");
    }
}

#[tokio::test]
async fn a_claim_with_control_characters_is_401() {
    let service = Service::start().await;
    for claim in ["sub", "client_id", "azp"] {
        let call = service.post("/customers", json!({ "name": "x" })).claims(json!({ claim: "a\u{0}b" }));
        call.send()
            .await
            .refused(401, &format!("the claim {claim} must be a string of at most 255 characters, none of them"));
    }
}

#[tokio::test]
async fn a_timestamp_changed_by_less_than_a_millisecond_is_detected() {
    let service = Service::start().await;
    create_customers(&service, "default", 2).await;
    chain::link_entries(service.app.database()).await.unwrap();
    let database = service.database.connect().await;
    drop_triggers(&database).await;
    let sql = if on_postgres() {
        "UPDATE audit_logs SET occurred_at = occurred_at + interval '400 microseconds'"
    } else {
        "UPDATE audit_logs SET occurred_at = replace(occurred_at, '.125', '.1254')"
    };
    database.execute_unprepared(sql).await.unwrap();
    let verdicts = verify(service.app.database()).await.unwrap();
    assert!(!verdicts[0].faults.is_empty(), "{verdicts:?}");
}
