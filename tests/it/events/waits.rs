//! Waiting readers: woken by their own tenant's events alone, whichever process wrote them.

use std::time::Duration;

use crm::{
    background::Background,
    error::ErrorKind,
    events::{EventSignal, WaiterLimits, outbox},
    service::resources::{owned_tables, pii_tables, searched_tables},
};

use serde_json::json;

use super::stored::{event, insert, numbers, page, put};
use crate::harness::{AMPLE, Service, TestDatabase, id, within};

/// A signal for so many waiting readers.
fn signal(total: usize, per_tenant: usize) -> EventSignal {
    EventSignal::new(WaiterLimits { total, per_tenant })
}

const CREATED: &str = "crm.customer.created";
const CLOSED: &str = "crm.opportunity.closed";

#[tokio::test]
async fn a_reader_is_woken_by_what_it_waits_for_alone() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    let (signal, database) = (signal(100, 100), service.app.database());
    outbox::assign_positions_and_wake(database, &signal).await.unwrap();
    let closed = [CLOSED.to_owned()];
    let mut own = signal.watch("a").unwrap();
    let mut of_type = signal.watch("a").unwrap();
    insert(&db, vec![event("b", CLOSED, 1, "")]).await;
    outbox::assign_positions_and_wake(database, &signal).await.unwrap();
    assert!(!own.comes(0, None, Duration::ZERO).await);

    insert(&db, vec![event("a", CREATED, 2, ""), event("a", CREATED, 3, "")]).await;
    outbox::assign_positions_and_wake(database, &signal).await.unwrap();
    assert!(own.comes(0, None, AMPLE).await && own.comes(1, None, AMPLE).await);
    // It has read both.
    assert!(!own.comes(2, None, Duration::ZERO).await && !of_type.comes(0, Some(&closed), Duration::ZERO).await);

    insert(&db, vec![event("a", CLOSED, 4, "")]).await;
    outbox::assign_positions_and_wake(database, &signal).await.unwrap();
    assert!(of_type.comes(2, Some(&closed), AMPLE).await && own.comes(2, None, AMPLE).await);
    assert!(!of_type.comes(3, Some(&closed), Duration::ZERO).await);
}

#[tokio::test]
async fn a_tenant_without_waiting_readers_is_forgotten() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    let signal = signal(100, 100);
    let (first, second, other) = (signal.watch("a").unwrap(), signal.watch("a").unwrap(), signal.watch("b").unwrap());
    drop(first);
    insert(&db, vec![event("c", CREATED, 1, "")]).await;
    outbox::assign_positions_and_wake(service.app.database(), &signal).await.unwrap();
    let mut known = signal.waiting_tenants();
    known.sort_unstable();
    assert_eq!(known, ["a", "b"]);
    drop((second, other));
    assert!(signal.waiting_tenants().is_empty());
}

#[tokio::test]
async fn waiting_ends_when_the_service_stops() {
    let signal = signal(100, 100);
    let mut early = signal.watch("a").unwrap();
    signal.stop_waiting();
    let mut late = signal.watch("a").unwrap();
    assert!(!early.comes(0, None, AMPLE).await && !late.comes(0, None, AMPLE).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_readers_meet_the_events_of_other_processes() {
    let service = Service::start().await;
    let db = service.database.connect().await;
    let other = service.another_instance(2).await;
    let background = Background::start(&service.app, pii_tables(), searched_tables(), owned_tables());
    let readers = (0..20).map(|_| {
        let call = service.get("/events?wait=30").tenant("a");
        async move { numbers(&call.send().await.expect(200).body) }
    });
    let writing = async {
        within(10, "readers wait", async || service.app.events().waiting_tenants() == ["a"]).await;
        // This process hears nothing of the commit.
        put(&other, &db, vec![event("b", CREATED, 1, ""), event("a", CREATED, 2, "")]).await;
    };
    let all = futures_util::future::join_all(readers);
    let (all, ()) = tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(all, writing) }).await.unwrap();
    assert!(all.iter().all(|numbers| *numbers == [2]), "{all:?}");
    assert!(service.app.events().waiting_tenants().is_empty());
    background.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_waits_in_vain_gets_a_cursor_to_go_on_from() {
    let service = Service::on(TestDatabase::migrated().await, &[]).await;
    let db = service.database.connect().await;
    let background = Background::start(&service.app, pii_tables(), searched_tables(), owned_tables());
    put(&service.app, &db, vec![event("a", CREATED, 1, "")]).await;
    let first = page(&service, "a", "").await;
    let vain = page(&service, "a", &format!("wait=1&after={}", id(&first, "cursor"))).await;
    assert_eq!((numbers(&vain), &vain["cursor"]), (Vec::new(), &first["cursor"]));
    background.finish().await.unwrap();
}

#[test]
fn so_many_readers_wait_and_no_more() {
    let signal = signal(3, 2);
    let first = signal.watch("a").unwrap();
    let _second = signal.watch("a").unwrap();
    assert_eq!(signal.watch("a").map(drop).unwrap_err().kind(), ErrorKind::TooMany);
    let _other = signal.watch("b").unwrap();
    assert!(signal.watch("c").is_err(), "three wait already");
    drop(first);
    signal.watch("a").unwrap();
    signal.watch("c").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_too_many_is_429_and_others_are_served() {
    let service = Service::with(&[("CRM_EVENT_WAITERS_PER_TENANT", "5")]).await;
    let waiting = (0..5).map(|_| service.get("/events?wait=2").tenant("a").send());
    let refused = async {
        within(10, "readers wait", async || service.app.events().waiting_tenants() == ["a"]).await;
        // The others begin to wait with the first, on this one task.
        let reply = service.get("/events?wait=30").tenant("a").send().await.refused(429, "at most 5 readers");
        assert_eq!((reply.header("Retry-After"), &reply.body["code"]), ("1", &json!("TOO_MANY_REQUESTS")));
        service.get("/events").tenant("a").send().await.expect(200);
        service.get("/events?wait=1").tenant("b").send().await.expect(200);
    };
    let (replies, ()) = tokio::join!(futures_util::future::join_all(waiting), refused);
    replies.into_iter().for_each(|reply| drop(reply.expect(200)));
    let counted = r#"crm_http_refused_total{limit="event_waiters"} 1"#;
    assert!(service.app.metrics().text().contains(counted), "{}", service.app.metrics().text());
}
