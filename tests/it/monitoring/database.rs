//! Faults of the database.

use std::{fs, time::Duration};

use crm::{database::Failure, values::Tenant};
use serde_json::json;

use super::judge::assert_fires;
use crate::harness::{
    Process, Service, TestDatabase, free_port,
    metrics::Scrape,
    postgres::{PostgresServer, url_as},
    within,
};

#[tokio::test]
async fn a_database_that_is_gone_cannot_be_read() {
    let service = Service::on(TestDatabase::sqlite(), &[]).await;
    let before = Scrape::of(&service);
    let url = service.database.url();
    let file = url.strip_prefix("sqlite://").unwrap();
    fs::rename(file, format!("{file}.away")).unwrap();
    let fails = async || Scrape::of(&service).sum("crm_database_works", &[("operation", "read")]) == 0.0;
    within(30, "reads fail", fails).await;
    assert_fires(&["CrmReadsFail"], &[before, Scrape::of(&service)]);
}

#[tokio::test]
async fn a_pool_whose_connections_are_all_in_use_is_told_of() {
    let service = Service::on(TestDatabase::sqlite(), &[]).await;
    let before = Scrape::of(&service);
    let mut held = Vec::new();
    // A tenant has half of them at most.
    for tenant in ["a", "a", "b", "b"] {
        let tenant = Tenant::parse(tenant).unwrap();
        held.push(service.app.database().snapshot_for(&tenant, Duration::from_secs(60)).await.unwrap());
    }
    let look = async {
        let waiting = || Scrape::of(&service).sum("crm_database_connections_waiting", &[("pool", "read")]);
        within(30, "a request waits", async || waiting() == 1.0).await;
        let during = Scrape::of(&service);
        held.clear();
        during
    };
    let (reply, during) = tokio::join!(service.get("/customers").send_unchecked(), look);
    reply.expect(200);
    assert_fires(&["CrmConnectionsWaited"], &[before, during]);
    assert_eq!(Scrape::of(&service).sum("crm_database_connections_waiting", &[]), 0.0);
}

#[tokio::test]
async fn connections_that_are_lost_again_and_again_are_told_of() {
    let service = Service::start().await;
    let before = Scrape::of(&service);
    for _ in 0..6 {
        service.app.database().steps().fail(1..=1, Failure::AnswerLost);
        service.post("/customers", json!({ "name": "x" })).send().await;
        service.app.database().steps().stop_failing();
        service.post("/customers", json!({ "name": "x" })).send().await;
    }
    let during = Scrape::of(&service);
    assert!(during.sum("crm_database_connections_replaced_total", &[]) >= 1.0, "none is replaced");
    assert_fires(&["CrmConnectionsReplaced"], &[before, during]);
}

#[tokio::test]
async fn a_standby_that_is_not_read_is_told_of() {
    let Some(primary) = PostgresServer::start().await else { return };
    let standby = primary.standby("standby").await;
    let serve = |read_url: &str| {
        Process::at(&primary.url(), &[("CRM_DATABASE_READ_URL", read_url), ("CRM_METRICS_ADDR", "127.0.0.1:0")])
    };
    let look = async |process: &Process| Scrape::from(&process.private).await.unwrap();
    let process = serve(&standby.url());
    within(30, "it is read", async || look(&process).await.sum("crm_standby_works", &[]) == 1.0).await;
    let before = look(&process).await;
    drop(standby);
    within(30, "it is not read", async || look(&process).await.sum("crm_standby_works", &[]) == 0.0).await;
    assert_fires(&["CrmStandbyNotRead"], &[before, look(&process).await]);
    // Nor is one that never was there.
    let process = serve(&url_as("postgres", free_port()));
    assert_eq!(look(&process).await.sum("crm_standby_works", &[]), 0.0);
}
