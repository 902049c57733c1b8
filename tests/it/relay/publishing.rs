//! The relay, to a broker in memory whose faults the test chooses: nothing lost, nothing invented, in order.

use std::sync::Arc;

use crm::{
    app::App,
    events::relay::{self, Relay, Step},
};
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::harness::{
    PII_KEYS, Service,
    broker::{Memory, Versions, drain},
    crm as crm_command, id,
};

fn relay_to(app: &App, broker: &Memory) -> Relay {
    Relay::new(app.clone(), Arc::new(broker.clone()))
}

/// Fails unless each customer's events came in the order of their versions, from 1, and gives how many there were.
fn check_order(broker: &Memory) -> usize {
    let mut versions = Versions::default();
    let events = broker.events();
    for event in &events {
        versions.next(event);
    }
    events.len()
}

#[tokio::test]
async fn what_is_committed_is_published_once_and_in_order_with_a_resource_never_twice_on_its_way() {
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
    let broker = Memory::default();
    let mut relay = relay_to(&service.app, &broker);
    drain(&service.app, &mut relay).await;
    assert_eq!(check_order(&broker), 26);
    assert_eq!(broker.state().arrived.len(), 26);
    // One alone at first, then more; each change of the one customer waits for the one before it.
    assert_eq!(broker.state().waves[..6], [1, 1, 1, 1, 1, 21]);

    let message = broker.state().arrived[0].clone();
    assert_eq!((message.event_type.as_str(), message.tenant.as_str()), ("crm.customer.created", "default"));
    let event: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(event, service.read("/events?limit=1").await["data"][0]);
    assert_eq!(message.id.to_string(), id(&event, "eventId"));
    assert!(message.traceparent.starts_with(&format!("00-{}-", id(&event, "traceId"))));
}

#[tokio::test]
async fn what_was_not_answered_is_sent_again_and_what_was_confirmed_is_not() {
    let service = Service::start().await;
    for _ in 0..30 {
        service.customer().await;
    }
    let broker = Memory::default();
    let mut relay = relay_to(&service.app, &broker);
    service.app.order_events().await.unwrap();
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
    assert_eq!(check_order(&broker), 30);
    assert_eq!(broker.state().arrived.len(), 32);
}

#[tokio::test]
async fn an_event_that_is_refused_goes_aside_and_keeps_only_its_own_resource_waiting() {
    let service = Service::start().await;
    let broker = Memory::default();
    broker.state().unroutable.push("crm.customer.updated".to_owned());
    let (held, free) = (service.customer().await, service.customer().await);
    service.patch(&format!("/customers/{held}"), json!({ "name": "Other" })).send().await.expect(200);
    service.delete(&format!("/customers/{held}")).send().await.expect(204);
    service.delete(&format!("/customers/{free}")).send().await.expect(204);
    let mut relay = relay_to(&service.app, &broker);
    let versions = |of: &str| {
        let events = broker.events().into_iter().filter(|event| event["data"]["resource"]["customerId"] == of);
        events.map(|event| event["data"]["version"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    for tries in 1..=relay::TRIES {
        drain(&service.app, &mut relay).await;
        assert_eq!((versions(&held), versions(&free)), (vec![1], vec![1, 2]));
        assert_eq!(relay::standing(&service.app).await.unwrap().aside, i64::from(tries == relay::TRIES));
        service.pass(61_000);
    }
    let refusals = format!("crm_events_refused_total {}", relay::TRIES);
    assert!(service.app.metrics().text().contains(&refusals));
    drain(&service.app, &mut relay).await;
    assert!(service.app.metrics().text().contains(&refusals), "tried once more");
    let standing = relay::standing(&service.app).await.unwrap();
    assert_eq!((standing.head, standing.position, standing.held, standing.aside), (5, 5, 2, 1));
    let aside = relay::aside(&service.app, 10).await.unwrap();
    assert_eq!(aside[0].reason.as_deref(), Some("NO_ROUTE"));

    let url = service.database.url();
    let variables = [("CRM_DATABASE_URL", url.as_str()), ("CRM_PII_KEYS", PII_KEYS)];
    let status = crm_command(&["outbox", "status"], &variables).out;
    assert!(status.contains("position 5 of 5: 0 events wait") && status.contains("1 events are set aside"), "{status}");
    assert!(status.contains(&format!("{} crm.customer.updated of {held}", aside[0].event_id)), "{status}");
    broker.state().unroutable.clear();
    let unknown = crm_command(&["outbox", "retry", "01a21181-ee94-772f-a9b9-0846b4b84e36"], &variables);
    assert_eq!((unknown.code, unknown.err.contains("is not set aside")), (Some(1), true));
    let retried = crm_command(&["outbox", "retry", &aside[0].event_id.to_string()], &variables);
    assert_eq!((retried.code, retried.out.trim()), (Some(0), "1 events are sent again"));
    drain(&service.app, &mut relay).await;
    assert_eq!(versions(&held), [1, 2, 3]);
    assert_eq!(relay::standing(&service.app).await.unwrap().held, 0);
}

#[tokio::test]
async fn an_event_that_was_damaged_in_the_database_goes_aside_and_blocks_no_other() {
    let service = Service::start().await;
    let (damaged, other) = (service.customer().await, service.customer().await);
    let connection = service.database.connect().await;
    let damage = format!("UPDATE outbox SET data = '?' WHERE data LIKE '%{damaged}%'");
    assert_eq!(connection.execute_unprepared(&damage).await.unwrap().rows_affected(), 1);
    let broker = Memory::default();
    drain(&service.app, &mut relay_to(&service.app, &broker)).await;
    let arrived = broker.events();
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0]["data"]["resource"]["customerId"], other);
    assert_eq!(relay::standing(&service.app).await.unwrap().held, 1);
}

#[tokio::test]
async fn two_relays_work_in_turn_and_the_second_takes_over_from_one_that_died() {
    let service = Service::start().await;
    let broker = Memory::default();
    let other = service.beside(2).await;
    let (mut first, mut second) = (relay_to(&service.app, &broker), relay_to(&other, &broker));
    service.customer().await;
    drain(&service.app, &mut first).await;
    service.customer().await;
    service.app.order_events().await.unwrap();
    assert_eq!(second.step().await.unwrap(), Step::Elsewhere);
    drop(first);
    // Its lease runs out.
    drain(&other, &mut second).await;
    assert_eq!(broker.state().arrived.len(), 2);
    second.release().await.unwrap();
    let mut third = relay_to(&service.app, &broker);
    service.customer().await;
    service.app.order_events().await.unwrap();
    assert_eq!(third.step().await.unwrap(), Step::Sent(1));
}

#[tokio::test]
async fn with_a_broker_only_published_events_are_past_their_time_and_without_one_all() {
    for (url, purged) in [("amqp://127.0.0.1:1", [0, 1]), ("", [2, 0])] {
        let service = Service::with(&[("CRM_EVENTS_URL", url)]).await;
        let broker = Memory::default();
        broker.state().unroutable.push("crm.customer.updated".to_owned());
        let customer = service.customer().await;
        service.patch(&format!("/customers/{customer}"), json!({ "name": "Other" })).send().await.expect(200);
        service.app.order_events().await.unwrap();
        service.pass(8 * 24 * 3_600_000);
        assert_eq!(service.app.purge().await.unwrap().events, purged[0]);
        drain(&service.app, &mut relay_to(&service.app, &broker)).await;
        assert_eq!(service.app.purge().await.unwrap().events, purged[1]);
        let standing = relay::standing(&service.app).await.unwrap();
        assert_eq!(standing.held, i64::from(!url.is_empty()));
    }
}

/// A small generator of numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

#[tokio::test]
async fn through_200_rounds_of_killed_relays_and_broken_connections_all_arrives_in_order() {
    let service = Service::start().await;
    let broker = Memory::default();
    let mut dice = Dice(7);
    let mut customers = Vec::new();
    let (mut committed, mut unmarked) = (0, 0);
    let mut relay = relay_to(&service.app, &broker);
    for round in 0..200 {
        for _ in 0..dice.below(4) {
            if customers.is_empty() || dice.below(3) == 0 {
                customers.push(service.customer().await);
            } else {
                let customer = &customers[dice.below(customers.len())];
                let body = json!({ "name": format!("Round {round} {committed}") });
                service.patch(&format!("/customers/{customer}"), body).send().await.expect(200);
            }
            committed += 1;
        }
        service.app.order_events().await.unwrap();
        let mischief = dice.below(5);
        {
            let mut state = broker.state();
            state.down = mischief == 0;
            state.breaks_after = (mischief == 1).then(|| (dice.below(3), dice.below(3)));
            state.hangs = (mischief == 2).then(|| dice.below(2) == 1);
        }
        // A step that is dropped part of the way is a relay that was killed there.
        let before = (count(&broker), marked(&service.app).await);
        let killed = {
            tokio::select! {
                step = relay.step() => { step.unwrap(); false }
                () = broker.hung() => true
            }
        };
        if killed {
            relay.release().await.unwrap();
            relay = relay_to(&service.app, &broker);
        }
        let after = (count(&broker), marked(&service.app).await);
        unmarked += (after.0 - before.0).saturating_sub(usize::try_from(after.1 - before.1).unwrap());
    }
    {
        let mut state = broker.state();
        (state.down, state.breaks_after, state.hangs) = (false, None, None);
    }
    drain(&service.app, &mut relay).await;
    assert_eq!(check_order(&broker), committed);
    let duplicates = broker.state().arrived.len() - committed;
    assert!(duplicates <= unmarked, "{duplicates} duplicates, {unmarked} sends without a mark");
    assert!(duplicates > 10, "the test met few faults: {duplicates} duplicates");
}

fn count(broker: &Memory) -> usize {
    broker.state().arrived.len()
}

/// How many events are written down as published.
async fn marked(app: &App) -> i64 {
    let standing = relay::standing(app).await.unwrap();
    standing.position - standing.held
}
