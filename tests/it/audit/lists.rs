//! The audit trail as a list: how many entries there are, and from page to page.

use crm::{audit::chain, background};
use serde_json::{Value, json};

use crate::harness::{
    Call, DAY, FAR_FUTURE, Service,
    audit::{copy_entry, create_customers},
    id,
    sql::scalar,
};

fn auditor(call: Call<'_>) -> Call<'_> {
    call.claims(json!({ "exp": FAR_FUTURE, "scope": "crm:audit:read" }))
}

async fn list(service: &Service, query: &str) -> Value {
    auditor(service.get(&format!("/audit-logs?{query}"))).send().await.expect(200).body
}

/// Fails unless the total is the number of entries, on a page that does not tell it by itself.
async fn assert_total(service: &Service, expected: i64) {
    let db = service.database.connect().await;
    let sql = "SELECT count(*) FROM audit_logs WHERE tenant_id = 'default'";
    assert_eq!(scalar::<i64>(&db, sql).await, expected);
    for query in ["pageSize=1", "pageSize=1&page=2", "page=400"] {
        let page = list(service, query).await;
        assert_eq!((&page["total"], &page["totalExact"]), (&json!(expected), &json!(true)), "{query}");
    }
}

#[tokio::test]
async fn the_total_is_what_is_chained_what_waits_and_not_what_is_purged() {
    let service = Service::start().await;
    background::purge(&service.app).await.unwrap();
    assert_total(&service, 0).await;
    create_customers(&service, "default", 4).await;
    create_customers(&service, "other", 1).await;
    assert_total(&service, 4).await;
    chain::link_entries(service.app.database()).await.unwrap();
    assert_total(&service, 4).await;
    for _ in 0..100 {
        service.advance(DAY);
        background::purge(&service.app).await.unwrap();
    }
    create_customers(&service, "default", 3).await;
    assert_total(&service, 7).await;
    for _ in 0..81 {
        service.advance(DAY);
        background::purge(&service.app).await.unwrap();
    }
    assert_total(&service, 3).await;
    chain::link_entries(service.app.database()).await.unwrap();
    assert_total(&service, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_total_is_exact_at_every_instant_while_entries_are_chained() {
    let service = Service::start().await;
    create_customers(&service, "default", 3).await;
    let acknowledged = std::sync::atomic::AtomicU64::new(3);
    let write = async {
        for _ in 0..60 {
            create_customers(&service, "default", 1).await;
            acknowledged.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    };
    let link = async {
        loop {
            chain::link_entries(service.app.database()).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let read = async {
        let mut last = 0;
        loop {
            let before = acknowledged.load(std::sync::atomic::Ordering::SeqCst);
            let total = list(&service, "pageSize=1").await["total"].as_u64().unwrap();
            // One more may be committed and not acknowledged yet.
            let after = acknowledged.load(std::sync::atomic::Ordering::SeqCst) + 1;
            assert!((before..=after).contains(&total) && total >= last, "{before} {total} {after}");
            last = total;
        }
    };
    tokio::select! {
        () = write => {}
        () = link => {}
        () = read => {}
    }
    assert_total(&service, 63).await;
}

/// Walks the trail by cursors.
async fn walk(service: &Service, query: &str) -> Vec<Value> {
    let (mut entries, mut after) = (Vec::new(), String::new());
    loop {
        let page = list(service, &format!("{query}{after}")).await;
        entries.extend(page["data"].as_array().unwrap().clone());
        if page["nextCursor"].is_null() {
            return entries;
        }
        after = format!("&after={}", id(&page, "nextCursor"));
    }
}

#[tokio::test]
async fn a_long_trail_is_walked_with_every_filter_and_counted_as_far_as_10000() {
    let service = Service::start().await;
    create_customers(&service, "default", 1).await;
    copy_entry(&service, "default", 10_150).await;
    service.advance(1000);
    create_customers(&service, "other", 1).await;
    let customer = service.customer().await;
    for filter in ["action=create", "resourceType=customer", "actor=tester", "from=2026-01-31T09:30:00Z"] {
        let page = list(&service, &format!("pageSize=1&{filter}")).await;
        assert_eq!((&page["total"], &page["totalExact"]), (&json!(10_000), &json!(false)), "{filter}");
        let page = list(&service, &format!("pageSize=1&{filter}&resourceId={customer}")).await;
        assert_eq!((&page["total"], &page["totalExact"]), (&json!(1), &json!(true)), "{filter}");
    }
    assert_total(&service, 10_152).await;
    for filter in ["", "&action=create&resourceType=customer", "&actor=tester&to=2027-01-31T09:30:00Z"] {
        let entries = walk(&service, &format!("pageSize=100{filter}")).await;
        assert_eq!(entries.len(), 10_152, "{filter}");
        let order: Vec<_> = entries.iter().map(|one| (id(one, "occurredAt"), id(one, "auditLogId"))).collect();
        assert!(order.is_sorted_by(|one, next| one > next), "{filter}");
    }
    for filter in ["", "&action=create"] {
        let page = list(&service, &format!("pageSize=1&total=false{filter}")).await;
        assert_eq!((&page["total"], &page["totalExact"]), (&json!(null), &json!(false)), "{filter}");
    }
    let deep = auditor(service.get("/audit-logs?page=102&pageSize=100")).send().await;
    deep.refused(400, "page: skips more than 10000 items; read on with after");
    let cursor = id(&list(&service, "pageSize=1").await, "nextCursor");
    let other_filter = auditor(service.get(&format!("/audit-logs?action=create&after={cursor}"))).send().await;
    let other_filter = other_filter.expect(400).body;
    assert_eq!(other_filter["details"], "after: must be the nextCursor of a page with the same filters");
}
