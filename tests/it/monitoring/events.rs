//! Faults of the broker, and events that nobody takes.

use std::sync::Arc;

use crm::{
    background::{Background, queues},
    events::outbox,
};

use super::judge::assert_fires;
use crate::harness::{
    Service,
    broker::{MemoryBroker, relay_to},
    metrics::Scrape,
    within,
};

#[tokio::test]
async fn a_broker_that_is_away_is_told_of() {
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    let mut relay = relay_to(&service.app, Arc::new(broker.clone()));
    relay.step().await.unwrap();
    let before = Scrape::of(&service);
    broker.state().down = true;
    relay.step().await.unwrap();
    assert_fires(&["CrmBrokerDown"], &[before, Scrape::of(&service)]);
}

#[tokio::test]
async fn an_event_that_waits_is_late_and_its_age_is_that_of_the_oldest() {
    let service = Service::with(&[("CRM_EVENTS_URL", "amqp://127.0.0.1:1")]).await;
    queues::refresh(&service.app).await.unwrap();
    let before = Scrape::of(&service);
    let oldest = async || {
        queues::refresh(&service.app).await.unwrap();
        Scrape::of(&service).sum("crm_events_oldest_waiting_seconds", &[])
    };
    assert_eq!(oldest().await, 0.0);
    service.customer().await;
    service.advance(400_000);
    service.customer().await;
    assert_eq!(oldest().await, 400.0, "without a position");
    outbox::assign_positions(service.app.database()).await.unwrap();
    assert_eq!(oldest().await, 400.0);
    let during = Scrape::of(&service);
    assert_eq!(during.sum("crm_events_waiting", &[]), 2.0);
    assert_fires(&["CrmEventsLate"], &[before, during]);
    let mut relay = relay_to(&service.app, Arc::new(MemoryBroker::default()));
    while Scrape::of(&service).sum("crm_events_waiting", &[]) > 0.0 {
        relay.step().await.unwrap();
    }
    assert_eq!(oldest().await, 0.0);
}

#[tokio::test]
async fn events_that_are_parked_or_that_nobody_takes_are_told_of() {
    let service = Service::start().await;
    let broker = MemoryBroker::default();
    broker.state().refused.push("crm.customer.created".to_owned());
    broker.state().unrouted.push("crm.customer.updated".to_owned());
    let mut relay = relay_to(&service.app, Arc::new(broker.clone()));
    relay.step().await.unwrap();
    let before = Scrape::of(&service);
    let customer = service.customer().await;
    outbox::assign_positions(service.app.database()).await.unwrap();
    for _ in 0..12 {
        relay.step().await.unwrap();
        service.advance(61_000);
    }
    let parked = Scrape::of(&service);
    assert_eq!(parked.sum("crm_events_parked", &[]), 1.0);
    assert_fires(&["CrmEventsParked"], &[before.clone(), parked]);

    broker.state().refused.clear();
    crm::relay::retry(service.app.database(), None).await.unwrap();
    service.patch(&format!("/customers/{customer}"), serde_json::json!({ "name": "y" })).send_unchecked().await;
    let lasting = serde_json::json!({ "exp": crate::harness::FAR_FUTURE });
    let update = service.patch(&format!("/customers/{customer}"), serde_json::json!({ "name": "z" }));
    update.claims(lasting).send().await.expect(200);
    outbox::assign_positions(service.app.database()).await.unwrap();
    for _ in 0..12 {
        relay.step().await.unwrap();
        service.advance(61_000);
    }
    assert_fires(&["CrmEventsUnrouted"], &[before, Scrape::of(&service)]);
}

#[tokio::test]
async fn a_broker_whose_events_nobody_takes_is_told_of() {
    let before = Scrape::of(&Service::start().await);
    let service = Service::with(&[("CRM_EVENTS_URL", "amqp://127.0.0.1:1")]).await;
    let background = Background::relay(&service.app);
    let failed = async || Scrape::of(&service).sum("crm_inbound_failures_total", &[]) >= 1.0;
    within(30, "it is not reached", failed).await;
    assert_fires(&["CrmInboundAway"], &[before, Scrape::of(&service)]);
    background.finish().await.unwrap();
}

#[tokio::test]
async fn events_of_the_platform_that_cannot_be_applied_are_told_of() {
    let service = Service::start().await;
    let before = Scrape::of(&service);
    let broker = MemoryBroker::default();
    broker.state().inbound.push_back(b"no event".to_vec());
    service.inbound().consume(&broker).await;
    let during = Scrape::of(&service);
    assert_eq!(during.sum("crm_inbound_events_total", &[("outcome", "dead")]), 1.0);
    assert_fires(&["CrmInboundDead"], &[before, during]);
}
