//! The relay, publishing to a broker in memory that fails as a test asks.

use std::sync::Arc;

use crm::{
    app::App,
    background,
    events::outbox,
    relay::{self, Relay, Step},
};
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::harness::{
    DAY, PII_KEYS, Service, TestDatabase,
    broker::{MemoryBroker, drain, relay_to},
    events::{CustomerVersions, damages},
    id, run_crm,
    sql::column,
};

fn memory_relay(app: &App, broker: &MemoryBroker) -> Relay {
    relay_to(app, Arc::new(broker.clone()))
}

/// Fails unless `count` events arrived, those of each customer in order.
fn assert_in_order(broker: &MemoryBroker, count: usize) {
    let mut versions = CustomerVersions::default();
    let events = broker.events();
    for event in &events {
        versions.assert_next(event);
    }
    assert_eq!(events.len(), count);
}

#[tokio::test]
async fn events_are_published_once_in_order_and_one_per_resource_at_a_time() {
    let service = Service::start().await;
    let customer = service.customer().await;
    for number in 0..5 {
        let body = json!({ "name": format!("Acme {number}") });
        service.patch(&format!("/customers/{customer}"), body).send().await.expect(200);
    }
    for _ in 0..20 {
        service.customer().await;
    }
    service.patch(&format!("/customers/{customer}"), json!({ "name": "" })).send().await.expect(400);
    let broker = MemoryBroker::default();
    let mut relay = memory_relay(&service.app, &broker);
    drain(&service.app, &mut relay).await;
    assert_in_order(&broker, 26);
    assert_eq!(broker.state().arrived.len(), 26);
    // A batch has at most one event per resource: the six of the first customer take six batches.
    assert_eq!(broker.state().batches[..6], [1, 1, 1, 1, 1, 21]);

    let message = broker.state().arrived[0].clone();
    assert_eq!((message.event_type.as_str(), message.tenant.as_str()), ("crm.customer.created", "default"));
    let event: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(event, service.read("/events?limit=1").await["data"][0]);
    assert_eq!(message.id.to_string(), id(&event, "eventId"));
    assert!(message.traceparent.starts_with(&format!("00-{}-", id(&event, "traceId"))));
}

#[tokio::test]
async fn unconfirmed_events_are_resent_and_confirmed_ones_are_not() {
    let service = Service::start().await;
    for _ in 0..30 {
        service.customer().await;
    }
    let broker = MemoryBroker::default();
    let mut relay = memory_relay(&service.app, &broker);
    outbox::assign_positions(service.app.database()).await.unwrap();
    for _ in 0..3 {
        assert!(matches!(relay.step().await.unwrap(), Step::Sent(_)));
    }
    assert_eq!(broker.state().arrived.len(), 7);
    broker.state().breaks_after = Some((3, 2));
    assert_eq!(relay.step().await.unwrap(), Step::Sent(3));
    assert!(service.app.metrics().text().contains("crm_broker_breaker_open 1"));
    assert!(matches!(relay.step().await.unwrap(), Step::Down(_)));
    drain(&service.app, &mut relay).await;
    assert!(service.app.metrics().text().contains("crm_broker_breaker_open 0"));
    assert_in_order(&broker, 30);
    assert_eq!(broker.state().arrived.len(), 32);
}

#[tokio::test]
async fn a_refused_event_is_parked_and_blocks_only_its_own_resource() {
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    broker.state().refused.push("crm.customer.updated".to_owned());
    let (blocked, free) = (service.customer().await, service.customer().await);
    service.patch(&format!("/customers/{blocked}"), json!({ "name": "Other" })).send().await.expect(200);
    service.delete(&format!("/customers/{blocked}")).send().await.expect(204);
    service.delete(&format!("/customers/{free}")).send().await.expect(204);
    let mut relay = memory_relay(&service.app, &broker);
    let versions = |of: &str| {
        let events = broker.events().into_iter().filter(|event| event["data"]["resource"]["customerId"] == of);
        events.map(|event| event["data"]["version"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    for tries in 1..=relay::MAX_ATTEMPTS {
        drain(&service.app, &mut relay).await;
        assert_eq!((versions(&blocked), versions(&free)), (vec![1], vec![1, 2]));
        assert_eq!(
            relay::status(service.app.database()).await.unwrap().parked,
            i64::from(tries == relay::MAX_ATTEMPTS)
        );
        service.advance(61_000);
    }
    let refusals = format!("crm_events_refused_total {}", relay::MAX_ATTEMPTS);
    assert!(service.app.metrics().text().contains(&refusals));
    drain(&service.app, &mut relay).await;
    assert!(service.app.metrics().text().contains(&refusals), "retried after it was parked");
    let status = relay::status(service.app.database()).await.unwrap();
    assert_eq!((status.head, status.position, status.blocked, status.parked), (5, 5, 2, 1));
    let parked = relay::parked(service.app.database(), 10).await.unwrap();
    assert_eq!(parked[0].reason.as_deref(), Some("too large"));

    let url = service.database.url();
    let variables = [("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_KEYS", PII_KEYS)];
    let with_broker = [&variables[..], &[("CRM_EVENTS_URL", "amqp://127.0.0.1:1")]].concat();
    let status = run_crm(&["outbox", "status"], &with_broker).stdout;
    assert!(status.contains("position 5 of 5: 0 events wait") && status.contains("1 events are parked"), "{status}");
    let without = run_crm(&["outbox", "status"], &variables).stdout;
    assert!(without.starts_with("no broker is configured") && !without.contains("events wait"), "{without}");
    let parked = parked[0].event_id.unwrap().to_string();
    assert!(status.contains(&format!("{parked} crm.customer.updated of {blocked}")), "{status}");
    broker.state().refused.clear();
    let unknown = run_crm(&["outbox", "retry", "01a21181-ee94-772f-a9b9-0846b4b84e36"], &variables);
    assert_eq!((unknown.code, unknown.stderr.contains("is not parked")), (Some(1), true));
    let retried = run_crm(&["outbox", "retry", &parked], &variables);
    assert_eq!((retried.code, retried.stdout.trim()), (Some(0), "1 events are sent again"));
    drain(&service.app, &mut relay).await;
    assert_eq!(versions(&blocked), [1, 2, 3]);
    assert_eq!(relay::status(service.app.database()).await.unwrap().blocked, 0);
}

#[tokio::test]
async fn events_that_nobody_is_bound_to_count_as_published_and_block_nothing() {
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    broker.state().unrouted.push("crm.customer.created".to_owned());
    let mut relay = memory_relay(&service.app, &broker);
    for _ in 0..3 {
        let customer = service.customer().await;
        service.patch(&format!("/customers/{customer}"), json!({ "name": "Other" })).send().await.expect(200);
    }
    drain(&service.app, &mut relay).await;
    assert_eq!(broker.events().len(), 3);
    let status = relay::status(service.app.database()).await.unwrap();
    assert_eq!((status.head, status.position, status.blocked, status.parked), (6, 6, 0, 0));
    let metrics = service.app.metrics().text();
    for line in ["crm_events_published_total 6", "crm_events_unrouted_total 3", "crm_events_refused_total 0"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn what_an_earlier_release_held_because_nobody_was_bound_goes_on_by_itself() {
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    broker.state().refused.push("crm.customer.updated".to_owned());
    let mut customers = Vec::new();
    for _ in 0..3 {
        let customer = service.customer().await;
        service.patch(&format!("/customers/{customer}"), json!({ "name": "Other" })).send().await.expect(200);
        service.delete(&format!("/customers/{customer}")).send().await.expect(204);
        customers.push(customer);
    }
    let mut relay = memory_relay(&service.app, &broker);
    for _ in 0..relay::MAX_ATTEMPTS {
        drain(&service.app, &mut relay).await;
        service.advance(61_000);
    }
    assert_eq!(relay::status(service.app.database()).await.unwrap().parked, 3);
    // As the earlier release would have left them: one parked, one blocked, and one refused for another reason.
    let connection = service.database.connect().await;
    let [unrouted, blocked] = [&customers[0], &customers[1]]
        .map(|customer| format!("seq IN (SELECT seq FROM outbox WHERE version = 2 AND data LIKE '%{customer}%')"));
    for update in [
        format!("UPDATE outbox_held SET reason = 'returned: NO_ROUTE' WHERE {unrouted} OR {blocked}"),
        format!("UPDATE outbox_held SET aside = false, attempts = 3, due = 4000000000000 WHERE {blocked}"),
    ] {
        assert!(connection.execute_unprepared(&update).await.unwrap().rows_affected() > 0);
    }
    relay.release().await.unwrap();
    {
        let mut state = broker.state();
        state.refused.clear();
        state.unrouted.push("crm.customer.updated".to_owned());
    }
    // The process of the new release.
    drain(&service.app, &mut memory_relay(&service.app, &broker)).await;
    let status = relay::status(service.app.database()).await.unwrap();
    assert_eq!((status.position, status.blocked, status.parked), (9, 2, 1));
    let deleted: Vec<_> = broker.events().into_iter().filter(|event| event["data"]["version"] == 3).collect();
    assert_eq!(deleted.len(), 2);
}

#[tokio::test]
async fn a_lease_further_ahead_than_a_lease_can_be_is_taken_over() {
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    service.customer().await;
    outbox::assign_positions(service.app.database()).await.unwrap();
    let mut killed = memory_relay(&service.app, &broker);
    broker.state().hangs = Some(false);
    tokio::select! {
        step = killed.step() => panic!("{step:?}"),
        () = broker.hanging() => {}
    }
    drop(killed);
    // The clock was set back by an hour.
    let connection = service.database.connect().await;
    let set_back = "UPDATE outbox_relay SET until = until + 3600000";
    assert_eq!(connection.execute_unprepared(set_back).await.unwrap().rows_affected(), 1);
    let mut relay = memory_relay(&service.app, &broker);
    assert_eq!(relay.step().await.unwrap(), Step::Sent(1));
    // It has become a lease like any other.
    let mut other = memory_relay(&service.app, &broker);
    service.customer().await;
    outbox::assign_positions(service.app.database()).await.unwrap();
    assert_eq!(other.step().await.unwrap(), Step::Elsewhere);
}

#[tokio::test]
async fn an_event_blocked_by_a_clock_that_was_ahead_is_tried_again_once_it_is_right() {
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    broker.state().refused.push("crm.customer.created".to_owned());
    let mut relay = memory_relay(&service.app, &broker);
    service.set_clock(DAY / 48);
    service.customer().await;
    drain(&service.app, &mut relay).await;
    assert_eq!(relay::status(service.app.database()).await.unwrap().blocked, 1);
    service.set_clock(-DAY / 48);
    broker.state().refused.clear();
    drain(&service.app, &mut relay).await;
    assert_eq!((broker.events().len(), relay::status(service.app.database()).await.unwrap().blocked), (1, 0));
}

#[tokio::test]
async fn a_damaged_event_blocks_only_its_own_resource() {
    for damage in damages() {
        let service = Service::with(&[("CRM_EVENTS_URL", "amqp://127.0.0.1:1")]).await;
        let (damaged, other) = (service.customer().await, service.customer().await);
        let connection = service.database.connect().await;
        let update = format!("UPDATE outbox SET {damage} WHERE data LIKE '%{damaged}%'");
        assert_eq!(connection.execute_unprepared(&update).await.unwrap().rows_affected(), 1);
        let broker = MemoryBroker::default();
        let mut relay = memory_relay(&service.app, &broker);
        drain(&service.app, &mut relay).await;
        let arrived = broker.events();
        assert_eq!(arrived.len(), 1, "{damage}");
        assert_eq!(arrived[0]["data"]["resource"]["customerId"], other, "{damage}");
        for _ in 1..relay::MAX_ATTEMPTS {
            assert_eq!(relay::status(service.app.database()).await.unwrap().blocked, 1, "{damage}");
            service.advance(61_000);
            drain(&service.app, &mut relay).await;
        }
        let parked = relay::parked(service.app.database(), 10).await.unwrap();
        assert!(parked.len() == 1 && parked[0].reason.is_some(), "{damage}: {parked:?}");
        assert_eq!(parked[0].event_id.is_none(), damage.starts_with("event_id"), "{damage}");
        // The retention goes on too.
        service.advance(8 * DAY);
        assert_eq!(background::purge(&service.app).await.unwrap().events, 1, "{damage}");
    }
}

#[tokio::test]
async fn outbox_status_shows_what_is_readable_of_a_damaged_event() {
    let service = Service::on(TestDatabase::sqlite(), &[]).await;
    let customer = service.customer().await;
    let connection = service.database.connect().await;
    connection.execute_unprepared("UPDATE outbox SET event_id = x'0102'").await.unwrap();
    let mut relay = memory_relay(&service.app, &MemoryBroker::default());
    for _ in 0..relay::MAX_ATTEMPTS {
        drain(&service.app, &mut relay).await;
        service.advance(61_000);
    }
    let url = service.database.url();
    let status = run_crm(&["outbox", "status"], &[("CRM_DATABASE_URL", &url), ("CRM_PII_KEYS", PII_KEYS)]);
    assert_eq!(status.code, Some(0), "{status:?}");
    let line = format!("(unreadable) crm.customer.created of {customer} of tenant default: ");
    assert!(status.stdout.contains(&line), "{status:?}");
}

#[tokio::test]
async fn a_parked_event_costs_no_write_of_a_relay_without_work() {
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    broker.state().refused.push("crm.customer.created".to_owned());
    service.customer().await;
    let mut relay = memory_relay(&service.app, &broker);
    for _ in 0..relay::MAX_ATTEMPTS {
        drain(&service.app, &mut relay).await;
        service.advance(61_000);
    }
    let lease = "SELECT until FROM outbox_relay";
    let connection = service.database.connect().await;
    let before: Vec<i64> = column(&connection, lease).await;
    let other = service.another_instance(2).await;
    assert_eq!(relay::status(service.app.database()).await.unwrap().parked, 1);
    assert_eq!(memory_relay(&other, &broker).step().await.unwrap(), Step::Idle);
    assert_eq!(column::<i64>(&connection, lease).await, before);
}

#[tokio::test]
async fn a_second_relay_takes_over_once_the_lease_of_the_first_expires() {
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    let other = service.another_instance(2).await;
    let (mut first, mut second) = (memory_relay(&service.app, &broker), memory_relay(&other, &broker));
    service.customer().await;
    drain(&service.app, &mut first).await;
    service.customer().await;
    outbox::assign_positions(service.app.database()).await.unwrap();
    assert_eq!(second.step().await.unwrap(), Step::Elsewhere);
    drop(first);
    // Waits for the lease to expire.
    drain(&other, &mut second).await;
    assert_eq!(broker.state().arrived.len(), 2);
    second.release().await.unwrap();
    let mut third = memory_relay(&service.app, &broker);
    service.customer().await;
    outbox::assign_positions(service.app.database()).await.unwrap();
    assert_eq!(third.step().await.unwrap(), Step::Sent(1));
}

#[tokio::test]
async fn with_a_broker_only_published_events_expire_without_one_all() {
    for (url, purged) in [("amqp://127.0.0.1:1", [0, 1]), ("", [2, 0])] {
        let service = Service::with(&[("CRM_EVENTS_URL", url)]).await;
        let broker = MemoryBroker::default();
        broker.state().refused.push("crm.customer.updated".to_owned());
        let customer = service.customer().await;
        service.patch(&format!("/customers/{customer}"), json!({ "name": "Other" })).send().await.expect(200);
        outbox::assign_positions(service.app.database()).await.unwrap();
        service.advance(8 * DAY);
        assert_eq!(background::purge(&service.app).await.unwrap().events, purged[0]);
        drain(&service.app, &mut memory_relay(&service.app, &broker)).await;
        assert_eq!(background::purge(&service.app).await.unwrap().events, purged[1]);
        let status = relay::status(service.app.database()).await.unwrap();
        assert_eq!(status.blocked, i64::from(!url.is_empty()));
    }
}

/// Random numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

#[tokio::test]
async fn all_events_arrive_in_order_through_200_kills_and_disconnects() {
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    let mut random = Random(7);
    let mut customers = Vec::new();
    let (mut committed, mut unrecorded) = (0, 0);
    let mut relay = memory_relay(&service.app, &broker);
    for round in 0..200 {
        for _ in 0..random.below(4) {
            if customers.is_empty() || random.below(3) == 0 {
                customers.push(service.customer().await);
            } else {
                let customer = &customers[random.below(customers.len())];
                let body = json!({ "name": format!("Round {round} {committed}") });
                service.patch(&format!("/customers/{customer}"), body).send().await.expect(200);
            }
            committed += 1;
        }
        outbox::assign_positions(service.app.database()).await.unwrap();
        let fault = random.below(5);
        {
            let mut state = broker.state();
            state.down = fault == 0;
            state.breaks_after = (fault == 1).then(|| (random.below(3), random.below(3)));
            state.hangs = (fault == 2).then(|| random.below(2) == 1);
        }
        // Dropping a step midway is like killing the relay there.
        let before = (arrived(&broker), recorded(&service.app).await);
        let stops = {
            tokio::select! {
                // A relay that waits to reconnect is restarted now and then: rounds pass faster than its pauses.
                step = relay.step() => matches!(step.unwrap(), Step::Down(_)) && random.below(2) == 0,
                () = broker.hanging() => true
            }
        };
        if stops {
            relay.release().await.unwrap();
            relay = memory_relay(&service.app, &broker);
        }
        let after = (arrived(&broker), recorded(&service.app).await);
        unrecorded += (after.0 - before.0).saturating_sub(usize::try_from(after.1 - before.1).unwrap());
    }
    {
        let mut state = broker.state();
        (state.down, state.breaks_after, state.hangs) = (false, None, None);
    }
    drain(&service.app, &mut relay).await;
    assert_in_order(&broker, committed);
    let duplicates = broker.state().arrived.len() - committed;
    assert!(duplicates <= unrecorded, "{duplicates} duplicates, {unrecorded} unrecorded publications");
    assert!(duplicates > 10, "too few faults: {duplicates} duplicates");
}

fn arrived(broker: &MemoryBroker) -> usize {
    broker.state().arrived.len()
}

/// How many events are recorded as published.
async fn recorded(app: &App) -> i64 {
    let status = relay::status(app.database()).await.unwrap();
    status.position - status.blocked
}
