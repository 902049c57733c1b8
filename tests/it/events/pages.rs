//! Pages of the feed: how much they hold, events that are damaged, and events of some types.

use crm::{events::event::NewEvent, telemetry::LogFormat};
use proptest::prelude::*;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::{Value, json};

use super::stored::{event, fed, insert, numbers, page, put};
use crate::harness::{
    Log, Service, id, on_postgres,
    sql::{rows, uuid_literal},
};

const CREATED: &str = "crm.customer.created";
const CLOSED: &str = "crm.opportunity.closed";

/// The numbers of all events of a tenant, read page by page, and the sizes of the pages.
async fn walk(service: &Service, tenant: &str, query: &str) -> (Vec<u128>, Vec<usize>) {
    let (mut all, mut sizes, mut after) = (Vec::new(), Vec::new(), String::new());
    loop {
        let path = format!("/events?{query}{after}");
        let reply = service.get(&path).tenant(tenant).send_unchecked().await.expect(200);
        if reply.body["data"] == json!([]) {
            return (all, sizes);
        }
        all.extend(numbers(&reply.body));
        sizes.push(reply.text.len());
        after = format!("&after={}", id(&reply.body, "cursor"));
    }
}

#[tokio::test]
async fn a_page_ends_before_it_is_larger_than_1_mib() {
    const PAGE: usize = 1 << 20;
    let service = Service::start().await;
    let db = service.database.connect().await;
    // What needs to be escaped is larger in the reply than it looks.
    let texts = ["x".repeat(40_000), "\"".repeat(20_000), "\u{7}".repeat(7_000), "客".repeat(13_000), String::new()];
    let large: Vec<NewEvent> =
        (1..=200).map(|number| event("a", CREATED, number, &texts[number as usize % texts.len()])).collect();
    put(&service.app, &db, large).await;
    let (all, sizes) = walk(&service, "a", "limit=1000").await;
    assert_eq!(all, (1..=200).collect::<Vec<_>>());
    assert!(sizes.iter().all(|size| *size <= PAGE), "{sizes:?}");
    // No page was cut short for nothing.
    assert!(sizes[..sizes.len() - 1].iter().all(|size| *size > PAGE - 50_000), "{sizes:?}");

    let (of_type, sizes) = walk(&service, "a", &format!("limit=1000&types={CREATED}")).await;
    assert_eq!((of_type, sizes.iter().all(|size| *size <= PAGE)), (all, true));
}

#[tokio::test]
async fn an_event_larger_than_a_page_is_a_page() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    let huge = "x".repeat(2 << 20);
    let events = vec![event("a", CREATED, 1, ""), event("a", CREATED, 2, &huge), event("a", CREATED, 3, "")];
    put(&service.app, &db, events).await;
    let (all, sizes) = walk(&service, "a", "limit=1000").await;
    assert_eq!((all, sizes.len()), (vec![1, 2, 3], 3));
}

/// What may happen to a row, as SQL.
fn damages() -> Vec<String> {
    let wrong = [
        "data = 'not JSON'",
        "data = '{}'",
        "data = '[]'",
        "data = ''",
        "data = replace(data, '\"tenantId\":\"a\"', '\"tenantId\":\"b\"')",
        "data = replace(data, '\"version\":1', '\"version\":2')",
        "data = replace(data, '\"version\":1', '\"version\":null')",
        "event_type = 'x'",
        "event_type = 'crm.customer.created.'",
        "event_type = ''",
        "version = 7",
        "tenant_id = 'b'",
    ];
    let of_sqlite = [
        "occurred_at = 'yesterday'",
        "data = x'ff00ff'",
        "aggregate_id = 'x'",
        "event_id = x'00'",
        "trace_id = x'ff'",
        "version = 'one'",
    ];
    let of_sqlite = of_sqlite.into_iter().filter(|_| !on_postgres());
    wrong.into_iter().chain(of_sqlite).map(|set| format!("UPDATE outbox SET {set} WHERE event_id = ")).collect()
}

fn damage(number: u128) -> String {
    uuid_literal(&uuid::Uuid::from_u128(number).to_string())
}

#[tokio::test]
async fn a_damaged_event_is_a_gap_and_closes_the_feed_to_nobody() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    let (log, _guard) = Log::of_this_thread("error", LogFormat::Json);
    let mut number = 1;
    let mut damaged = Vec::new();
    for sql in damages().iter().chain([&"DELETE FROM outbox WHERE event_id = ".to_owned()]) {
        put(&service.app, &db, vec![event("a", CREATED, number, ""), event("a", CREATED, number + 1, "")]).await;
        db.execute_unprepared(&format!("{sql}{}", damage(number + 1))).await.unwrap();
        damaged.push(number + 1);
        number += 2;
    }
    // The last one is no gap in the middle if nothing follows it.
    put(&service.app, &db, vec![event("a", CREATED, number, "")]).await;

    for limit in [1, 3, 1000] {
        let (mut told, mut gaps, mut after) = (Vec::new(), Vec::new(), String::new());
        loop {
            let page = page(&service, "a", &format!("limit={limit}{after}")).await;
            let these: Vec<Value> = page["gaps"].as_array().unwrap().clone();
            if these.is_empty() && page["data"] == json!([]) {
                break;
            }
            told.extend(numbers(&page));
            gaps.extend(these);
            after = format!("&after={}", id(&page, "cursor"));
        }
        assert_eq!(told, (1..=number).filter(|number| number % 2 == 1).collect::<Vec<_>>());
        let ids: Vec<Value> = damaged.iter().map(|number| json!(uuid::Uuid::from_u128(*number).to_string())).collect();
        assert_eq!(gaps.iter().map(|gap| gap["eventId"].clone()).collect::<Vec<_>>(), ids);
        assert!(gaps.iter().filter(|gap| gap["resourceId"] == gap["eventId"]).count() > damaged.len() / 2, "{gaps:?}");
    }
    assert_eq!(log.saying("an event is damaged: it is reported to its readers as a gap").len(), damaged.len());
    assert!(log.lines().iter().all(|line| line["level"] == "ERROR" && line["tenant_id"] == "a"), "{}", log.text());
    let positions: Vec<i64> = fed(&db, "a").await.into_iter().map(|(position, _)| position).collect();
    assert_eq!(positions, (1..=number as i64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_damaged_place_in_the_feed_is_a_gap_too() {
    if on_postgres() {
        // Its columns hold nothing but their types.
        return;
    }
    let service = Service::start().await;
    let db = service.database.connect().await;
    for (number, damage) in (1..).zip(["bytes = 'abc'", "seq = 'q'", "event_id = 'x'"]) {
        put(&service.app, &db, vec![event("a", CREATED, number * 2, ""), event("a", CREATED, number * 2 + 1, "")])
            .await;
        db.execute_unprepared(&format!("UPDATE feed_events SET {damage} WHERE position = {}", number * 2))
            .await
            .unwrap();
    }
    let page = page(&service, "a", "").await;
    assert!(numbers(&page).len() >= 3 && numbers(&page).len() + page["gaps"].as_array().unwrap().len() == 6, "{page}");
}

#[tokio::test]
async fn more_than_20_types_are_400() {
    let service = Service::start().await;
    let types = |count: usize| vec![CREATED; count].join(",");
    service.get(&format!("/events?types={}", types(20))).send().await.expect(200);
    let refusal = service.get(&format!("/events?types={}", types(21))).send().await;
    refusal.refused(400, "types: must be at most 20 types");
}

#[tokio::test]
async fn types_and_limits_narrow_the_feed_exactly() {
    const TYPES: [&str; 4] = [CREATED, CLOSED, "crm.contact.updated", "crm.followup.deleted"];
    let service = Service::start().await;
    let db = service.database.connect().await;
    let events: Vec<(u128, &str)> =
        (1..=120).map(|number| (number, TYPES[(number * number / 7 % 5 % 4) as usize])).collect();
    let stored = events.iter().map(|(number, event_type)| event("a", event_type, *number, "")).collect();
    put(&service.app, &db, stored).await;
    let chosen = (proptest::sample::subsequence(TYPES.to_vec(), 1..=4), 1_usize..50);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..12 {
        let (types, limit) = proptest::strategy::ValueTree::current(&chosen.new_tree(&mut runner).unwrap());
        let wanted: Vec<u128> =
            events.iter().filter(|(_, one)| types.contains(one)).map(|(number, _)| *number).collect();
        let (all, sizes) = walk(&service, "a", &format!("limit={limit}&types={}", types.join(","))).await;
        assert_eq!(all, wanted, "{types:?}");
        assert!(sizes.len() == wanted.len().div_ceil(limit), "{} pages of {limit}", sizes.len());
    }
}

/// The plan of a query, on tables with some events.
async fn plan(db: &DatabaseConnection, query: &str) -> String {
    let (explain, column) = if on_postgres() { ("EXPLAIN", "QUERY PLAN") } else { ("EXPLAIN QUERY PLAN", "detail") };
    let lines = rows(db, &format!("{explain} {query}")).await;
    lines.iter().map(|line| line.try_get::<String>("", column).unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_feed_is_read_by_its_indexes() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    let tenant = |number: u128| ["a", "b", "c"][(number % 3) as usize];
    for first in [0, 1000, 2000] {
        let events = (first..first + 1000).map(|number| event(tenant(number), CREATED, number, ""));
        insert(&db, events.collect()).await;
    }
    put(&service.app, &db, vec![event("a", CLOSED, 9000, "")]).await;
    db.execute_unprepared("ANALYZE").await.unwrap();
    let of_type = |event_type: &str| {
        format!(
            "SELECT * FROM (SELECT position, seq, bytes, event_id FROM feed_events WHERE tenant_id = 'a' \
             AND event_type = '{event_type}' AND position > 0 ORDER BY position LIMIT 100) AS t"
        )
    };
    let merged = format!(
        "SELECT position, seq, bytes, event_id FROM ({} UNION ALL {}) AS found ORDER BY position LIMIT 100",
        of_type(CREATED),
        of_type(CLOSED)
    );
    let last = "SELECT position FROM feed_events WHERE tenant_id = 'a' AND outbox_position <= 2000 \
                ORDER BY outbox_position DESC LIMIT 1";
    for (query, index) in [
        (merged.as_str(), "feed_events_type"),
        (
            "SELECT position, seq, bytes, event_id FROM feed_events WHERE tenant_id = 'a' AND position > 5 \
             ORDER BY position LIMIT 100",
            if on_postgres() { "feed_events_pkey" } else { "sqlite_autoindex_feed_events_1" },
        ),
        (last, "feed_events_outbox"),
    ] {
        let plan = plan(&db, query).await;
        assert!(
            plan.contains(index) && !plan.contains("SCAN outbox") && !plan.contains("Seq Scan"),
            "{query}:\n{plan}"
        );
    }
}
