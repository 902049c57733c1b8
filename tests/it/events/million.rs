//! The feed of a database with a million events: `make bench-feed`.

use std::time::{Duration, Instant};

use crm::{background, database::migrate, events::outbox};
use sea_orm::{ConnectionTrait, DatabaseConnection};

use super::stored::{assign_as_before, numbers, page, write};
use crate::harness::{
    AMPLE, Service, TestDatabase, median, on_postgres,
    sql::{rows, scalar},
};

const EVENTS: u32 = 1_000_000;
/// How many of them are past their time.
const OLD: u32 = 50_000;
const RARE: [&str; 2] = ["crm.opportunity.closed", "crm.opportunity.reopened"];

/// Half of the events are of the tenant `large`, every 100,000th of them of a rare type.
async fn fill(db: &DatabaseConnection) {
    let (numbers, uuid, [old, new]) = if on_postgres() {
        let times = ["TIMESTAMPTZ '2025-12-31 09:30:00Z'", "TIMESTAMPTZ '2026-01-31 09:30:00Z'"];
        (format!("generate_series(1, {EVENTS}) AS n(n)"), "gen_random_uuid()", times)
    } else {
        let numbers = format!("WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {EVENTS})");
        let times = ["'2025-12-31T09:30:00+00:00'", "'2026-01-31T09:30:00+00:00'"];
        (format!("({numbers} SELECT n FROM n) AS n"), "randomblob(16)", times)
    };
    let tenant = "CASE WHEN n % 2 = 0 THEN 'large' ELSE 'small' || n % 997 END";
    let resource = "x".repeat(500);
    let sql = format!(
        "INSERT INTO outbox (position, tenant_id, event_id, event_type, aggregate_id, version, occurred_at, trace_id, data) \
         SELECT n, {tenant}, {uuid}, CASE n % 100000 WHEN 2 THEN '{}' WHEN 4 THEN '{}' ELSE 'crm.customer.updated' END, \
         {uuid}, 1, CASE WHEN n <= {OLD} THEN {old} ELSE {new} END, '0af7651916cd43dd8448eb211c80319c', '{{\"tenantId\":\"' || {tenant} || \
         '\",\"version\":1,\"changedFields\":[],\"resource\":{{\"text\":\"{resource}\"}}}}' FROM {numbers}",
        RARE[0], RARE[1]
    );
    db.execute_unprepared(&sql).await.unwrap();
    db.execute_unprepared(&format!("UPDATE outbox_head SET position = {EVENTS}")).await.unwrap();
    db.execute_unprepared("ANALYZE").await.unwrap();
}

#[tokio::test]
#[ignore = "takes minutes: `make bench-feed`"]
async fn a_rare_type_among_a_million_events_costs_no_walk() {
    let database = TestDatabase::new().await;
    let url = database.parsed_url();
    migrate::up(&url, None, AMPLE).await.unwrap();
    let newest_first: Vec<String> =
        migrate::status(&url).await.unwrap().into_iter().rev().map(|one| one.name).collect();
    let feeds = newest_first.iter().position(|name| name.contains("feed_positions")).unwrap();
    migrate::down(&url, u32::try_from(feeds).unwrap() + 1, AMPLE).await.unwrap();
    let db = database.connect().await;
    fill(&db).await;

    let began = Instant::now();
    migrate::up(&url, None, AMPLE).await.unwrap();
    eprintln!("the feeds of {EVENTS} events are made in {:?}", began.elapsed());
    assert_eq!(scalar::<i64>(&db, "SELECT count(*) FROM feed_events").await, i64::from(EVENTS));

    let service = Service::on(database, &[]).await;
    let types = RARE.join(",");
    let walked = median(async || {
        let sql = format!(
            "SELECT * FROM outbox WHERE tenant_id = 'large' AND position > 0 AND event_type IN ('{}', '{}') \
             ORDER BY position LIMIT 100",
            RARE[0], RARE[1]
        );
        assert_eq!(rows(&db, &sql).await.len(), 20);
    });
    let rare =
        async || assert_eq!(numbers(&page(&service, "large", &format!("types={types}&limit=100")).await).len(), 20);
    let any = async || assert_eq!(numbers(&page(&service, "large", "limit=20").await).len(), 20);
    let quiet = async || assert_eq!(numbers(&page(&service, "nobody", &format!("types={types}")).await).len(), 0);
    let former = async || assert_eq!(numbers(&page(&service, "large", "after=500000&limit=20").await).len(), 20);
    let (walked, rare, any) = (walked.await, median(rare).await, median(any).await);
    eprintln!("20 events: of rare types {rare:?}, of any type {any:?}; by walking, as before, {walked:?}");
    eprintln!("ratio: {:.2} to any type, {:.1} to walking", ratio(rare, any), ratio(walked, rare));
    eprintln!(
        "a tenant without events {:?}, a cursor of the former form {:?}",
        median(quiet).await,
        median(former).await
    );
    assert!(ratio(rare, any) < 5.0);

    let mut number = 0;
    let mut batch = async |before: bool| {
        number += 1000;
        write(&db, "large", number, 1000).await;
        let began = Instant::now();
        if before {
            assign_as_before(&db).await;
            return began.elapsed();
        }
        outbox::assign_positions(service.app.database()).await.unwrap();
        began.elapsed()
    };
    let (mut before, mut now) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..5 {
        before += batch(true).await;
        outbox::assign_positions(service.app.database()).await.unwrap();
        now += batch(false).await;
    }
    eprintln!("positions for 1,000 events: {:?}; without feeds, as before, {:?}", now / 5, before / 5);

    let began = Instant::now();
    let purged = background::purge(&service.app).await.unwrap().events;
    assert_eq!(purged, u64::from(OLD));
    eprintln!("{OLD} events are deleted in {:?}", began.elapsed());
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}
