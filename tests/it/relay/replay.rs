//! Published events once more, for a consumer that comes later.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use crm::{
    background,
    relay::{self, ReplayFrom, ReplayReport, ReplayStop, Selection},
    values::Tenant,
};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::{
    DAY, FAR_FUTURE, START, Service,
    broker::{MemoryBroker, drain, relay_to},
    events::{CustomerVersions, damages},
    id,
    sql::column,
};

fn all_from(position: i64) -> Selection {
    Selection { from: ReplayFrom::Position(position), types: Vec::new(), tenant: None }
}

/// What is wrong with a selection.
async fn refusal(service: &Service, selection: Selection) -> String {
    relay::plan(service.app.database(), selection).await.unwrap().expect_err("it is carried out")
}

async fn replay(service: &Service, broker: &MemoryBroker, selection: Selection) -> ReplayReport {
    let database = service.app.database();
    let plan = relay::plan(database, selection).await.unwrap().unwrap();
    relay::replay(database, broker, &plan, &|_, _| {}, &CancellationToken::new()).await.unwrap()
}

/// Customers with five events each, published to a broker; returns one that nothing has arrived at yet.
async fn published(service: &Service, customers: usize) -> MemoryBroker {
    for number in 0..customers {
        let tenant = if number % 2 == 0 { "default" } else { "other" };
        let customer = service
            .post("/customers", json!({ "name": "Acme" }))
            .tenant(tenant)
            .claims(json!({ "exp": FAR_FUTURE }))
            .send()
            .await
            .expect(201);
        let path = format!("/customers/{}", id(&customer.body, "customerId"));
        for change in 0..4 {
            let body = json!({ "name": format!("Acme {change}") });
            service.patch(&path, body).tenant(tenant).claims(json!({ "exp": FAR_FUTURE })).send().await.expect(200);
        }
    }
    drain(&service.app, &mut relay_to(&service.app, std::sync::Arc::new(MemoryBroker::default()))).await;
    MemoryBroker::default()
}

/// The relay's position and lease, and what it holds back.
async fn ledger(service: &Service) -> Vec<String> {
    let connection = service.database.connect().await;
    let relay = "SELECT CAST(position AS TEXT) || ' ' || CAST(until AS TEXT) FROM outbox_relay";
    let mut ledger = column::<String>(&connection, relay).await;
    ledger.extend(column::<String>(&connection, "SELECT CAST(seq AS TEXT) FROM outbox_held ORDER BY seq").await);
    ledger
}

fn positions(events: &[Value], feed: &[Value]) -> Vec<usize> {
    let at = |event: &Value| feed.iter().position(|other| other["eventId"] == event["eventId"]).unwrap() + 1;
    events.iter().map(at).collect()
}

const NOTHING: ReplayReport = ReplayReport { sent: 0, unrouted: 0, left_out: 0, named: Vec::new(), stopped: None };

#[tokio::test]
async fn published_events_are_sent_again_in_order_beside_the_relay_without_its_lease() {
    let service = Service::start().await;
    let broker = published(&service, 4).await;
    // Another relay has the lease, and an event is parked.
    let connection = service.database.connect().await;
    let hold = "INSERT INTO outbox_held (seq, position, tenant_id, aggregate_id, attempts, due, aside) \
                SELECT seq, position, tenant_id, aggregate_id, 8, NULL, true FROM outbox WHERE position = 20";
    connection.execute_unprepared(hold).await.unwrap();
    let before = ledger(&service).await;
    let report = replay(&service, &broker, all_from(1)).await;
    assert_eq!(report, ReplayReport { sent: 19, ..NOTHING });
    let mut versions = CustomerVersions::default();
    broker.events().iter().for_each(|event| drop(versions.assert_next(event)));
    assert_eq!(broker.state().arrived.len(), 19);
    // Never two of a resource under way together: each customer's five follow each other.
    assert!(broker.state().batches.iter().all(|size| *size == 1 || *size == 2), "{:?}", broker.state().batches);
    assert_eq!(ledger(&service).await, before);
}

#[tokio::test]
async fn a_replay_takes_the_events_from_a_position_or_time_of_some_types_or_a_tenant() {
    let service = Service::start().await;
    published(&service, 2).await;
    service.advance(60_000);
    published(&service, 2).await;
    let since = DateTime::<Utc>::from_timestamp_millis(START + 60_000).unwrap();
    let created = vec!["crm.customer.created".to_owned()];
    let tenant = Tenant::parse("other");
    for (selection, expected) in [
        (all_from(20), 1),
        (all_from(7), 14),
        (Selection { from: ReplayFrom::Time(since), ..all_from(1) }, 10),
        (Selection { from: ReplayFrom::Time(since + TimeDelta::seconds(1)), ..all_from(1) }, 0),
        (Selection { types: created.clone(), ..all_from(1) }, 4),
        (Selection { tenant: tenant.clone(), ..all_from(1) }, 10),
        (Selection { from: ReplayFrom::Time(since), types: created, tenant }, 1),
    ] {
        let broker = MemoryBroker::default();
        assert_eq!(replay(&service, &broker, selection.clone()).await.sent, expected, "{selection:?}");
        assert_eq!(broker.state().arrived.len() as u64, expected, "{selection:?}");
    }
}

#[tokio::test]
async fn a_replay_that_cannot_be_whole_is_refused_with_what_is_wrong() {
    let service = Service::start().await;
    published(&service, 2).await;
    assert_eq!(refusal(&service, all_from(11)).await, "--from 11: the last position is 10");
    service.customer().await;
    crm::events::outbox::assign_positions(service.app.database()).await.unwrap();
    assert_eq!(refusal(&service, all_from(11)).await, "--from 11: events after position 10 are not published yet");
    service.advance(8 * DAY);
    published(&service, 2).await;
    assert_eq!(background::purge(&service.app).await.unwrap().events, 11);
    let expected = "--from 11: events up to position 11 are no longer kept; the first that may be is 12";
    assert_eq!(refusal(&service, all_from(11)).await, expected);
    let other = Selection { tenant: Tenant::parse("other"), ..all_from(10) };
    let expected = "--from 10: events up to position 10 are no longer kept; the first that may be is 11";
    assert_eq!(refusal(&service, other).await, expected);
    let broker = MemoryBroker::default();
    assert_eq!(replay(&service, &broker, all_from(12)).await.sent, 10);
    let since = DateTime::<Utc>::from_timestamp_millis(START + 8 * DAY).unwrap();
    let early = Selection { from: ReplayFrom::Time(since - TimeDelta::milliseconds(1)), ..all_from(1) };
    let expected = "--since: events of that time may have been deleted; all are kept that are of \
                    2026-02-08T09:30:00.125Z or later";
    assert_eq!(refusal(&service, early).await, expected);
    let kept = Selection { from: ReplayFrom::Time(since), ..all_from(1) };
    assert_eq!(replay(&service, &MemoryBroker::default(), kept).await.sent, 10);
}

#[tokio::test]
async fn a_time_is_refused_of_which_only_a_formerly_blocked_event_is_left() {
    let service = Service::with(&[("CRM_EVENTS_URL", "amqp://127.0.0.1:1")]).await;
    published(&service, 1).await;
    let connection = service.database.connect().await;
    // It was refused, and is published only once the others are deleted.
    let hold = "INSERT INTO outbox_held (seq, position, tenant_id, aggregate_id, attempts, due, aside) \
                SELECT seq, position, tenant_id, aggregate_id, 8, NULL, true FROM outbox WHERE position = 2";
    connection.execute_unprepared(hold).await.unwrap();
    service.advance(8 * DAY);
    published(&service, 1).await;
    assert_eq!(background::purge(&service.app).await.unwrap().events, 4);
    connection.execute_unprepared("DELETE FROM outbox_held").await.unwrap();
    let since = |days| {
        let time = DateTime::<Utc>::from_timestamp_millis(START + days * DAY).unwrap();
        Selection { from: ReplayFrom::Time(time), ..all_from(1) }
    };
    let expected = "--since: events of that time may have been deleted; all are kept that are of \
                    2026-02-08T09:30:00.125Z or later";
    assert_eq!(refusal(&service, since(0)).await, expected);
    assert_eq!(replay(&service, &MemoryBroker::default(), since(8)).await.sent, 5);
}

#[tokio::test]
async fn a_replay_says_how_many_events_were_deleted_before_it_came_to_them() {
    let service = Service::start().await;
    let broker = published(&service, 2).await;
    let database = service.app.database();
    let plan = relay::plan(database, all_from(1)).await.unwrap().unwrap();
    let connection = service.database.connect().await;
    connection.execute_unprepared("DELETE FROM outbox WHERE position <= 3").await.unwrap();
    let report = relay::replay(database, &broker, &plan, &|_, _| {}, &CancellationToken::new()).await.unwrap();
    assert_eq!(report, ReplayReport { sent: 7, stopped: Some(ReplayStop::Deleted(3)), ..NOTHING });
}

#[tokio::test]
async fn a_replay_names_a_damaged_event_and_leaves_it_out() {
    for damage in damages() {
        let service = Service::start().await;
        let broker = published(&service, 2).await;
        let connection = service.database.connect().await;
        let update = format!("UPDATE outbox SET {damage} WHERE position = 6");
        assert_eq!(connection.execute_unprepared(&update).await.unwrap().rows_affected(), 1);
        let report = replay(&service, &broker, all_from(1)).await;
        assert_eq!((report.sent, report.left_out, report.stopped), (9, 1, None), "{damage}");
        assert!(matches!(&report.named[..], [(6, reason)] if !reason.is_empty()), "{damage}: {:?}", report.named);
    }
}

#[tokio::test]
async fn an_interrupted_replay_names_the_position_that_it_goes_on_from() {
    let service = Service::start().await;
    let broker = published(&service, 4).await;
    let database = service.app.database();
    let plan = relay::plan(database, all_from(1)).await.unwrap().unwrap();
    assert_eq!(plan.count, 20);
    let (stop, reached) = (CancellationToken::new(), Mutex::new(0));
    let progress = |sent: u64, position: i64| {
        *reached.lock().unwrap() = position;
        if sent >= 7 {
            stop.cancel();
        }
    };
    let report = relay::replay(database, &broker, &plan, &progress, &stop).await.unwrap();
    let Some(ReplayStop::Interrupted(from)) = report.stopped else { panic!("{report:?}") };
    assert!(report.sent < 20 && from == *reached.lock().unwrap() + 1, "{report:?}");
    assert_eq!(report.sent + replay(&service, &broker, all_from(from)).await.sent, 20);
    assert_eq!(broker.events().len(), 20);
}

#[tokio::test]
async fn a_replay_survives_a_lost_connection_and_ends_where_the_broker_stays_away() {
    let service = Service::start().await;
    let broker = published(&service, 4).await;
    broker.state().breaks_after = Some((0, 1));
    let report = replay(&service, &broker, all_from(1)).await;
    assert_eq!((report.sent, report.stopped), (20, None));
    let mut versions = CustomerVersions::default();
    broker.events().iter().for_each(|event| drop(versions.assert_next(event)));
    broker.state().down = true;
    let report = replay(&service, &broker, all_from(3)).await;
    assert_eq!(report, ReplayReport { stopped: Some(ReplayStop::Down(3, "down".to_owned())), ..NOTHING });
}

#[tokio::test]
async fn a_replay_leaves_out_what_is_refused_and_what_is_behind_it() {
    let service = Service::start().await;
    let broker = published(&service, 1).await;
    let customer = id(&service.read("/customers").await["data"][0], "customerId");
    service.delete(&format!("/customers/{customer}")).send().await.expect(204);
    drain(&service.app, &mut relay_to(&service.app, std::sync::Arc::new(MemoryBroker::default()))).await;
    let feed = service.read("/events").await["data"].as_array().unwrap().clone();
    {
        let mut state = broker.state();
        state.refused.push("crm.customer.updated".to_owned());
        state.unrouted.push("crm.customer.created".to_owned());
    }
    let report = replay(&service, &broker, all_from(1)).await;
    let named = vec![(2, "too large".to_owned())];
    assert_eq!(report, ReplayReport { sent: 1, unrouted: 1, left_out: 5, named, stopped: None });
    assert_eq!(replay(&service, &broker, all_from(6)).await.sent, 1);
    assert_eq!(positions(&broker.events(), &feed), [6]);
}
