//! Cursors: opaque, of one tenant, and refused where the feed is not the one that the reader knows.

use serde_json::json;

use super::stored::{assign_as_before, back_up, event, instant, numbers, page, purge_as_before, put, restore, write};
use crate::harness::{Service, id};

const TYPE: &str = "crm.customer.created";

#[tokio::test]
async fn a_cursor_tells_nothing_of_other_tenants() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    let mut quiet = vec![page(&service, "quiet", "").await["cursor"].clone()];
    for round in 0..3 {
        put(&service.app, &db, vec![event("loud", TYPE, round + 1, "")]).await;
        quiet.push(page(&service, "quiet", "").await["cursor"].clone());
    }
    assert!(quiet.windows(2).all(|pair| pair[0] == pair[1]), "{quiet:?}");
    put(&service.app, &db, vec![event("quiet", TYPE, 9, "")]).await;
    let events = page(&service, "quiet", &format!("after={}", quiet[0].as_str().unwrap())).await;
    assert_eq!(numbers(&events), [9]);
}

#[tokio::test]
async fn a_foreign_damaged_or_forged_cursor_is_400() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    put(&service.app, &db, vec![event("a", TYPE, 1, ""), event("b", TYPE, 2, "")]).await;
    let cursor = id(&page(&service, "a", "").await, "cursor");
    let refused = |tenant: &'static str, cursor: String| {
        let call = service.get(&format!("/events?after={cursor}")).tenant(tenant);
        async move { call.send().await.refused(400, "after: must be a cursor that the feed answered") }
    };
    refused("b", cursor.clone()).await;
    for at in 0..cursor.len() {
        let mut damaged = cursor.clone();
        let other = if &damaged[at..=at] == "A" { "B" } else { "A" };
        damaged.replace_range(at..=at, other);
        refused("a", damaged).await;
        refused("a", cursor[..at].to_owned()).await;
    }
    for forged in [format!("{cursor}A"), "v1".to_owned() + &"_".repeat(24), "v2".to_owned() + &cursor[2..]] {
        refused("a", forged).await;
    }
    let untouched = page(&service, "a", &format!("after={cursor}")).await;
    assert_eq!(untouched["data"], json!([]));
}

#[tokio::test]
async fn every_reader_ahead_of_a_restored_feed_is_400() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    write(&db, "a", 1, 3).await;
    put(&service.app, &db, Vec::new()).await;
    let known = id(&page(&service, "a", "").await, "cursor");
    back_up(&db).await;
    write(&db, "a", 10, 3).await;
    put(&service.app, &db, Vec::new()).await;
    let ahead = [id(&page(&service, "a", "").await, "cursor"), id(&page(&service, "a", "limit=4").await, "cursor")];
    let text =
        "after: the feed does not hold what this cursor has seen, because the service was restored from a backup";

    restore(&db).await;
    for grown in 0..3 {
        for cursor in &ahead {
            // Also where the feed has grown past it again, with other events.
            service.get(&format!("/events?after={cursor}")).tenant("a").send().await.refused(400, text);
        }
        let since = page(&service, "a", &format!("after={known}")).await;
        assert_eq!(numbers(&since).len(), grown * 2);
        write(&db, "a", 100 + 2 * grown as u128, 2).await;
        put(&service.app, &db, Vec::new()).await;
    }
    let all = page(&service, "a", "").await;
    assert_eq!(numbers(&all), [1, 2, 3, 100, 101, 102, 103, 104, 105]);
}

#[tokio::test]
async fn a_cursor_of_the_former_form_stands_for_the_same_place() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    let events = (1..=20).map(|number| event(if number % 3 == 0 { "b" } else { "a" }, TYPE, number, ""));
    put(&service.app, &db, events.collect()).await;
    for tenant in ["a", "b", "none"] {
        let all = numbers(&page(&service, tenant, "").await);
        for cursor in 0..=20 {
            let left: Vec<u128> = all.iter().copied().filter(|number| *number > cursor).collect();
            let after = page(&service, tenant, &format!("after={cursor}")).await;
            assert_eq!(numbers(&after), left, "{tenant} after {cursor}");
            let first = page(&service, tenant, &format!("after={cursor}&limit=1")).await;
            let next = page(&service, tenant, &format!("after={}", id(&first, "cursor"))).await;
            assert_eq!(numbers(&next), left.get(1..).unwrap_or_default(), "{tenant} after {cursor} and one more");
        }
        let ahead = service.get("/events?after=21").tenant(tenant).send().await;
        ahead.refused(400, "after: the feed does not hold what this cursor has seen");
    }
    purge_as_before(&db, instant(1)).await;
    service
        .get("/events?after=18")
        .tenant("a")
        .send()
        .await
        .refused(400, "after: events behind this cursor are no longer");
    let behind = page(&service, "a", "after=20").await;
    assert_eq!(behind["data"], json!([]));
}

#[tokio::test]
async fn a_former_cursor_waits_for_events_that_are_not_in_the_feed() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    write(&db, "a", 1, 2).await;
    assign_as_before(&db).await;
    // As a process of the release before answers it: it has read both.
    let early = page(&service, "a", "after=2").await;
    assert_eq!((&early["data"], &early["cursor"]), (&json!([]), &json!("2")));
    write(&db, "a", 3, 1).await;
    put(&service.app, &db, Vec::new()).await;
    assert_eq!(numbers(&page(&service, "a", "after=2").await), [3]);
}
