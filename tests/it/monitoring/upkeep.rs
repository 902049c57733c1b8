//! What goes wrong beside the requests.

use crm::{
    audit::{AuditQueue, chain},
    background::{self, Background, queues},
    database::Failure,
    service::resources::{owned_tables, pii_tables, searched_tables},
};
use sea_orm::ConnectionTrait;
use serde_json::json;

use super::judge::assert_fires;
use crate::harness::{DAY, Service, TestDatabase, id, metrics::Scrape, on_postgres, within};

/// The tasks of `crm serve`.
fn tasks(service: &Service) -> Background {
    Background::start(&service.app, pii_tables(), searched_tables(), owned_tables())
}

#[tokio::test]
async fn a_value_that_does_not_open_is_told_of() {
    let service = Service::start().await;
    let made = service.create("/customers", json!({ "name": "x", "contactPhone": "13812345678" })).await;
    let path = format!("/customers/{}", id(&made, "customerId"));
    service.read(&path).await;
    let before = Scrape::of(&service);
    let changed = "UPDATE customers SET contact_phone = '*1:test:AAAA'";
    service.database.connect().await.execute_unprepared(changed).await.unwrap();
    service.get(&path).send().await.expect(500);
    let during = Scrape::of(&service);
    assert_eq!(during.sum("crm_seal_failures_total", &[]), 1.0);
    assert_fires(&["CrmSealsDoNotOpen"], &[before, during]);
}

#[tokio::test]
async fn audit_entries_that_are_lost_are_told_of() {
    let service = Service::with_audit_queue(TestDatabase::migrated().await, &[], AuditQueue::with_capacity(3)).await;
    let made = service.create("/customers", json!({ "name": "x", "contactPhone": "13812345678" })).await;
    let path = format!("/customers/{}", id(&made, "customerId"));
    let before = Scrape::of(&service);
    for _ in 0..10 {
        service.get(&path).send().await.expect(200);
    }
    let during = Scrape::of(&service);
    assert_eq!((during.sum("crm_audit_waiting", &[]), during.sum("crm_audit_lost_total", &[])), (3.0, 7.0));
    assert_fires(&["CrmAuditLost"], &[before, during]);
}

#[tokio::test]
async fn audit_entries_that_are_not_chained_are_told_of() {
    let service = Service::start().await;
    service.customer().await;
    chain::link_entries(service.app.database()).await.unwrap();
    queues::refresh(&service.app).await.unwrap();
    let before = Scrape::of(&service);
    service.customer().await;
    service.advance(300_000);
    service.customer().await;
    queues::refresh(&service.app).await.unwrap();
    let during = Scrape::of(&service);
    let figures = (during.sum("crm_audit_unchained", &[]), during.sum("crm_audit_chain_lag_seconds", &[]));
    assert_eq!(figures, (2.0, 300.0));
    assert_fires(&["CrmAuditChainLate"], &[before, during]);
    chain::link_entries(service.app.database()).await.unwrap();
    queues::refresh(&service.app).await.unwrap();
    assert_eq!(Scrape::of(&service).sum("crm_audit_chain_lag_seconds", &[]), 0.0);
}

#[tokio::test]
async fn a_clock_that_is_ahead_is_told_of() {
    let service = Service::start().await;
    background::purge(&service.app).await.unwrap();
    let before = Scrape::of(&service);
    service.customer().await;
    let service = service.restart(30 * DAY).await;
    background::purge(&service.app).await.unwrap();
    assert_fires(&["CrmRetentionWaits"], &[before, Scrape::of(&service)]);
}

#[tokio::test]
async fn a_retention_that_is_not_done_is_told_of() {
    let service = Service::start().await;
    background::purge(&service.app).await.unwrap();
    let before = Scrape::of(&service);
    service.advance(7_200_000);
    assert_fires(&["CrmRetentionStuck"], &[before, Scrape::of(&service)]);
}

#[tokio::test]
async fn the_retention_counts_what_it_deletes() {
    let service = Service::start().await;
    background::purge(&service.app).await.unwrap();
    service.customer().await;
    crm::events::outbox::assign_positions(service.app.database()).await.unwrap();
    chain::link_entries(service.app.database()).await.unwrap();
    for _ in 0..200 {
        service.advance(DAY);
        background::purge(&service.app).await.unwrap();
    }
    let scrape = Scrape::of(&service);
    for kind in ["audit_entries", "events", "request_ids"] {
        assert_eq!(scrape.sum("crm_purged_total", &[("kind", kind)]), 1.0, "{kind}");
    }
    assert_eq!(scrape.sum("crm_retention_finished_timestamp_seconds", &[]), scrape.at);
}

#[tokio::test]
async fn a_deletion_that_does_not_end_and_a_task_that_fails_are_told_of() {
    let service = Service::start().await;
    let before = Scrape::of(&service);
    let customer = service.customer().await;
    service.contact(&customer).await;
    service.delete(&format!("/customers/{customer}")).send().await.expect(204);
    service.app.database().steps().fail(1..=u64::MAX, Failure::NotDone);
    let tasks = tasks(&service);
    let stuck = async || {
        let scrape = Scrape::of(&service);
        let failed = |task| scrape.sum("crm_task_failures_total", &[("task", task)]) >= 1.0;
        scrape.sum("crm_deletions_pending", &[]) == 1.0 && failed("remove_deleted") && failed("chain_audit_entries")
    };
    within(30, "the removal fails", stuck).await;
    let during = Scrape::of(&service);
    service.app.database().steps().stop_failing();
    assert_fires(&["CrmDeletionsStuck", "CrmTasksFail"], &[before, during]);
    let done = async || Scrape::of(&service).sum("crm_deletions_pending", &[]) == 0.0;
    within(60, "the removal goes on", done).await;
    tasks.finish().await.unwrap();
}

#[tokio::test]
async fn an_erasure_that_does_not_end_is_told_of() {
    let service = Service::on(TestDatabase::sqlite(), &[]).await;
    let customer = service.customer().await;
    let before = Scrape::of(&service);
    // As long as somebody reads, SQLite's log cannot be emptied.
    let reader = service.app.database().snapshot().await.unwrap();
    reader
        .query_all_raw(sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, "SELECT 1 FROM customers"))
        .await
        .unwrap();
    let tasks = tasks(&service);
    service.post(&format!("/customers/{customer}/erasure"), json!({ "followUps": "erase" })).send_unchecked().await;
    let pending = async |count: f64| Scrape::of(&service).sum("crm_erasures_pending", &[]) == count;
    within(30, "it is not complete", async || pending(1.0).await).await;
    assert_fires(&["CrmErasuresStuck"], &[before, Scrape::of(&service)]);
    drop(reader);
    within(30, "it goes on", async || pending(0.0).await).await;
    tasks.finish().await.unwrap();
}

#[tokio::test]
async fn totals_that_are_not_folded_are_told_of() {
    // SQLite has nothing to fold: what is counted there is the metric of a service before.
    if !on_postgres() {
        return;
    }
    let service = Service::start().await;
    let before = Scrape::of(&service);
    let deltas = "INSERT INTO list_count_deltas (tenant_id, list, owner_id, count) \
                  SELECT 'a', 'customers', '00000000-0000-0000-0000-000000000000', 1 - 2 * (n % 2) \
                  FROM generate_series(1, 3000) AS n";
    service.database.connect().await.execute_unprepared(deltas).await.unwrap();
    let tasks = tasks(&service);
    let mut during = before.clone();
    let seen = async || {
        during = Scrape::of(&service);
        during.sum("crm_count_changes_waiting", &[]) > 1000.0
    };
    within(30, "they are seen", seen).await;
    assert_fires(&["CrmTotalsLate"], &[before, during]);
    tasks.finish().await.unwrap();
}
