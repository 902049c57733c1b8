//! Tenants have the database in turn: one that floods it makes another wait for little more than its own work. By how much,
//! `make bench-fairness` measures.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crm::values::Tenant;
use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use poem::http::StatusCode;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::json;

use crate::harness::{Service, within};

/// A query that takes long, and reads no table.
const HEAVY: &str = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 400000) \
                     SELECT count(*) FROM n";

fn tenant(name: &str) -> Tenant {
    Tenant::parse(name).unwrap()
}

/// Runs a query for a tenant; whether it was answered.
async fn read(service: &Service, tenant: &Tenant, sql: &str) -> bool {
    let db = service.app.database().read_for(tenant);
    let statement = Statement::from_string(db.get_database_backend(), sql);
    db.query_one_raw(statement).await.is_ok()
}

#[tokio::test]
async fn a_change_comes_next_however_many_of_another_tenant_wait() {
    let service = Service::start().await;
    let create = |tenant: &'static str| {
        let call = service.post("/customers", json!({ "name": "x" })).tenant(tenant);
        async move { (tenant, call.send().await.status) }
    };
    // In this order: when the last one comes, the others are waiting.
    let mut all: FuturesUnordered<_> = (0..150).map(|_| create("busy")).chain([create("quiet")]).collect();
    let mut before = 0;
    while let Some((tenant, status)) = all.next().await {
        assert_eq!(status, StatusCode::CREATED, "{tenant}");
        if tenant == "quiet" {
            break;
        }
        before += 1;
    }
    // On SQLite, those in the commits before its own and in that one; on PostgreSQL, those that had a connection.
    assert!(before < 100, "{before} of the other tenant came first");
    while all.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_heavy_reads_leave_connections_to_others() {
    let service = Arc::new(Service::start().await);
    let (busy, quiet) = (tenant("busy"), tenant("quiet"));
    let done = Arc::new(AtomicUsize::new(0));
    let heavy = (0..16).map(|_| {
        let (service, busy, done) = (Arc::clone(&service), busy.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let answered = read(&service, &busy, HEAVY).await;
            done.fetch_add(1, Ordering::SeqCst);
            answered
        })
    });
    let heavy: Vec<_> = heavy.collect();
    within(10, "the heavy reads are under way", async || done.load(Ordering::SeqCst) > 0).await;
    let before = done.load(Ordering::SeqCst);
    for _ in 0..20 {
        assert!(read(&service, &quiet, "SELECT 1").await);
    }
    // The twenty waited for none of the sixteen; on a machine that has no core left for them, for few.
    let meanwhile = done.load(Ordering::SeqCst) - before;
    assert!(meanwhile < 10, "{meanwhile} heavy reads ended before twenty light ones");
    assert!(join_all(heavy).await.into_iter().all(|answered| answered.unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_too_many_that_wait_the_busy_tenants_last_ones_give_way() {
    let service = Arc::new(Service::start().await);
    let (busy, quiet) = (tenant("busy"), tenant("quiet"));
    let heavy: Vec<_> = (0..8)
        .map(|_| {
            let (service, busy) = (Arc::clone(&service), busy.clone());
            tokio::spawn(async move { read(&service, &busy, HEAVY).await })
        })
        .collect();
    let light = (0..6_000).map(|_| read(&service, &busy, "SELECT 1"));
    let refused = async { join_all(light).await.into_iter().filter(|answered| !answered).count() };
    let others = async { join_all((0..20).map(|_| read(&service, &quiet, "SELECT 1"))).await };
    let (refused, others) = futures_util::join!(refused, others);
    assert!(refused >= 1_000, "only {refused} of 6,000 were refused");
    assert!(others.into_iter().all(|answered| answered));
    drop(join_all(heavy).await);
}
