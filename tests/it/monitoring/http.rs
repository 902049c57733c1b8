//! Faults that show at the requests.

use std::{process::Command, time::Duration};

use crm::service::private::PrivateListener;
use sea_orm::{ConnectionTrait, DatabaseTransaction, TransactionTrait};
use serde_json::json;
use tokio::net::TcpStream;

use super::judge::{assert_fires, assert_quiet};
use crate::harness::{Process, Service, TestDatabase, metrics::Scrape, within};

/// Another process that holds the lock on the SQLite file.
async fn locked(service: &Service) -> DatabaseTransaction {
    let lock = service.database.connect().await.begin().await.unwrap();
    lock.execute_unprepared("UPDATE customers SET name = name").await.unwrap();
    lock
}

#[tokio::test]
async fn a_service_that_works_raises_no_alert() {
    let service = Service::start().await;
    crm::background::purge(&service.app).await.unwrap();
    service.customer().await;
    let before = Scrape::of(&service);
    for _ in 0..10 {
        let customer = service.customer().await;
        service.read(&format!("/customers/{customer}")).await;
        service.get("/customers/nobody").send().await.expect(404);
        service.get("/customers").token("nonsense").send().await.expect(401);
    }
    assert_quiet(&[before, Scrape::of(&service)]);
}

#[tokio::test]
async fn a_process_that_is_gone_is_down() {
    let service = Service::with(&[("CRM_METRICS_ADDR", "127.0.0.1:0")]).await;
    let private = PrivateListener::start(&service.app).unwrap();
    let address = private.address().to_string();
    let before = Scrape::from(&address).await.unwrap();
    private.finish().await;
    let gone = Scrape::from(&address).await;
    assert!(gone.is_err(), "it still answers");
    assert_fires(&["CrmDown"], &[before, Scrape::default()]);
}

#[tokio::test]
async fn a_process_that_starts_again_and_again_is_told_of() {
    let database = TestDatabase::new().await;
    let mut scrapes = Vec::new();
    for _ in 0..4 {
        let process = Process::with("serve", "serving", &database, &[("CRM_METRICS_ADDR", "127.0.0.1:0")]);
        scrapes.push(Scrape::from(&process.private).await.unwrap());
        assert_eq!(process.stop().await, Some(0));
    }
    assert_fires(&["CrmRestarts"], &scrapes);
}

#[tokio::test]
async fn requests_that_wait_for_a_lock_are_slow_and_fill_the_places() {
    let service = Service::on(TestDatabase::sqlite(), &[("CRM_REQUESTS_IN_FLIGHT", "4")]).await;
    let before = Scrape::of(&service);
    let lock = locked(&service).await;
    let create =
        |tenant: &'static str| service.post("/customers", json!({ "name": "x" })).tenant(tenant).send_unchecked();
    let creates = futures_util::future::join_all(["a", "a", "b", "b"].map(create));
    let look = async {
        let in_flight = || Scrape::of(&service).sum("crm_http_requests_in_flight", &[]);
        within(30, "all places are taken", async || in_flight() == 4.0).await;
        service.get("/customers").tenant("c").send_unchecked().await.expect(503);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let busy = Scrape::of(&service);
        lock.rollback().await.unwrap();
        busy
    };
    let (replies, busy) = tokio::join!(creates, look);
    for reply in replies {
        reply.expect(201);
    }
    assert_fires(&["CrmBusy", "CrmRequestsRefused"], &[before.clone(), busy]);
    assert_fires(&["CrmSlow", "CrmWritesWait"], &[before, Scrape::of(&service)]);
}

#[tokio::test]
async fn writes_that_fail_are_errors() {
    let service = Service::on(TestDatabase::sqlite(), &[]).await;
    service.customer().await;
    let before = Scrape::of(&service);
    let lock = locked(&service).await;
    service.post("/customers", json!({ "name": "x" })).send().await.expect(503);
    assert_fires(&["CrmWritesFail", "CrmErrors"], &[before, Scrape::of(&service)]);
    lock.rollback().await.unwrap();
}

#[tokio::test]
async fn tenants_beyond_their_rate_are_told_of() {
    let service = Service::with(&[("CRM_TENANT_RATE", "1/s")]).await;
    let before = Scrape::of(&service);
    let mut refused = 0;
    for _ in 0..60 {
        refused += u8::from(service.get("/customers").send().await.status == 429);
    }
    assert!(refused > 30, "{refused} are refused");
    assert_fires(&["CrmCallersThrottled"], &[before, Scrape::of(&service)]);
}

#[tokio::test]
async fn tokens_that_are_refused_mostly_are_told_of() {
    let service = Service::start().await;
    let before = Scrape::of(&service);
    for _ in 0..40 {
        service.get("/customers").token("nonsense").send().await.expect(401);
    }
    assert_fires(&["CrmTokensRefused"], &[before, Scrape::of(&service)]);
}

#[tokio::test]
async fn connections_and_descriptors_that_run_out_are_told_of() {
    let database = TestDatabase::new().await;
    let process = Process::limited("300:300", &database);
    let before = Scrape::from(&process.private).await.unwrap();
    let most = before.sum("crm_http_connections_max", &[]);
    let mut open = Vec::new();
    // The last ones are kept free, and a 64th of all is.
    for _ in 0..(most * 0.95) as usize {
        open.push(TcpStream::connect(&process.address).await.unwrap());
    }
    let many = async || Scrape::from(&process.private).await.unwrap().sum("crm_http_connections", &[]) > most * 0.92;
    within(30, "they are accepted", many).await;
    let during = Scrape::from(&process.private).await.unwrap();
    assert_fires(&["CrmConnectionsScarce"], &[before.clone(), during.clone()]);

    // So many it may have from now on.
    let limit = format!("--nofile={}:300", during.sum("process_open_fds", &[]) + 4.0);
    let limited = Command::new("prlimit").args([format!("--pid={}", process.child.id()), limit]).status().unwrap();
    assert!(limited.success());
    assert_fires(&["CrmDescriptorsScarce"], &[before, Scrape::from(&process.private).await.unwrap()]);
    drop(open);
}
