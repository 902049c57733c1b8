//! The audit trail: filled, verified, and laid open to tampering.

use std::ops::RangeInclusive;

use crm::audit::chain::{Verdict, verify};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::{Value, json};

use super::{
    FAR_FUTURE, Service, on_postgres,
    sql::{column, uuid_literal},
};

/// Creates customers, whatever the clock says: each leaves an entry.
pub async fn create_customers(service: &Service, tenant: &str, count: usize) {
    for _ in 0..count {
        let call = service.post("/customers", json!({ "name": "x" })).tenant(tenant);
        call.claims(json!({ "exp": FAR_FUTURE })).send().await.expect(201);
    }
}

/// Verifies the chains of all tenants; fails if anything is wrong with one.
pub async fn assert_intact(service: &Service) -> Vec<Verdict> {
    let verdicts = verify(service.app.database()).await.unwrap();
    assert!(verdicts.iter().all(|verdict| verdict.faults.is_empty()), "{verdicts:?}");
    verdicts
}

/// Fails unless the tenant's chained entries, in the order of their ids, have these numbers.
pub async fn assert_numbered(service: &Service, tenant: &str, numbers: RangeInclusive<i64>) {
    assert_numbered_by(&service.database.connect().await, tenant, "audit_log_id", numbers).await;
}

pub async fn assert_numbered_by(
    database: &DatabaseConnection,
    tenant: &str,
    order: &str,
    numbers: RangeInclusive<i64>,
) {
    let sql = format!("SELECT sequence FROM audit_chain WHERE tenant_id = '{tenant}' ORDER BY {order}");
    assert_eq!(column::<i64>(database, &sql).await, numbers.collect::<Vec<_>>(), "{tenant}");
}

/// The action and the resource of each entry, sorted.
pub fn actions(entries: &[Value]) -> Vec<(String, String, String)> {
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let mut actions: Vec<_> = entries
        .iter()
        .map(|entry| (text(entry, "action"), text(entry, "resourceType"), text(entry, "resourceId")))
        .collect();
    actions.sort();
    actions
}

/// One of them.
pub fn action(action: &str, kind: &str, id: &str) -> (String, String, String) {
    (action.to_owned(), kind.to_owned(), id.to_owned())
}

/// The first 24 characters of ids that no service makes.
pub const FOREIGN_ID: &str = "019aa5c8-7d40-7c1e-b3a2-";

/// Adds copies of the tenant's only entry, not chained yet.
pub async fn copy_entry(service: &Service, tenant: &str, count: usize) {
    let database = service.database.connect().await;
    let id = |number| uuid_literal(&format!("{FOREIGN_ID}{number:012x}"));
    let queued: Vec<String> = (0..count).map(|number| format!("('{tenant}', {})", id(number))).collect();
    let queue = format!("INSERT INTO audit_queue (tenant_id, audit_log_id) VALUES {}", queued.join(", "));
    let others = "actor, client, action, resource_type, resource_id, request_id, trace_id, changes, summary";
    let entries = format!(
        "INSERT INTO audit_logs (tenant_id, audit_log_id, occurred_at, {others}) \
         SELECT q.tenant_id, q.audit_log_id, occurred_at, {others} FROM audit_queue q \
         JOIN (SELECT * FROM audit_logs WHERE tenant_id = '{tenant}') l ON l.audit_log_id <> q.audit_log_id"
    );
    for sql in [queue, entries] {
        assert_eq!(database.execute_unprepared(&sql).await.unwrap().rows_affected(), count as u64);
    }
}

/// Removes the triggers that guard the trail, as an owner of the database can.
pub async fn drop_triggers(database: &DatabaseConnection) {
    for table in ["audit_logs", "audit_chain", "audit_heads"] {
        if on_postgres() {
            database.execute_unprepared(&format!("ALTER TABLE {table} DISABLE TRIGGER ALL")).await.unwrap();
            continue;
        }
        for event in ["update", "delete"] {
            database.execute_unprepared(&format!("DROP TRIGGER {table}_{event}")).await.unwrap();
        }
    }
}
