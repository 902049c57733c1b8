//! A broker in memory that fails as a test asks, and how any broker is published to.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use crm::{
    app::App,
    broker::{Broker, DeliveryOutcome, Down, Message, Publisher, Settlement, Subscriber},
    events::outbox,
    relay::{Relay, Step},
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::Value;
use tokio::sync::Notify;

/// A relay of an instance to a broker.
pub fn relay_to(app: &App, broker: Arc<dyn Broker>) -> Relay {
    let (database, metrics) = (Arc::clone(app.database()), Arc::clone(app.metrics()));
    Relay::new(database, app.clock().clone(), metrics, broker, app.new_id())
}

/// Publishes all committed events.
pub async fn drain(app: &App, relay: &mut Relay) {
    outbox::assign_positions(app.database()).await.unwrap();
    for _ in 0..100_000 {
        match relay.step().await.unwrap() {
            Step::Idle => return,
            Step::Sent(_) => {}
            Step::Elsewhere => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            Step::Down(again) => tokio::time::sleep_until(again).await,
        }
    }
    panic!("the relay does not come to an end");
}

/// Clones are the same broker.
#[derive(Clone, Default)]
pub struct MemoryBroker {
    state: Arc<Mutex<State>>,
    hanging: Arc<Notify>,
}

#[derive(Default)]
pub struct State {
    /// Nobody can connect.
    pub down: bool,
    /// Event types that it refuses.
    pub refused: Vec<String>,
    /// Event types that no queue is bound to.
    pub unrouted: Vec<String>,
    /// The connection breaks during the next batch, after this many messages were confirmed and this many more arrived.
    pub breaks_after: Option<(usize, usize)>,
    /// The next batch is never answered: before its messages arrive, or after (`true`).
    pub hangs: Option<bool>,
    pub arrived: Vec<Message>,
    /// The size of each batch.
    pub batches: Vec<usize>,
    /// Messages to be consumed.
    pub inbound: VecDeque<Vec<u8>>,
    /// Consumed messages.
    pub settled: Vec<(Vec<u8>, Settlement)>,
}

impl MemoryBroker {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits until a batch hangs.
    pub async fn hanging(&self) {
        self.hanging.notified().await;
    }

    /// The events that arrived, without duplicates.
    pub fn events(&self) -> Vec<Value> {
        let mut ids = HashSet::new();
        let state = self.state();
        let first = state.arrived.iter().filter(|message| ids.insert(message.id));
        first.map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
    }
}

impl Broker for MemoryBroker {
    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, Down>> {
        let outcome = match self.state().down {
            true => Err(Down("down".to_owned())),
            false => Ok(Box::new(self.clone()) as Box<dyn Publisher>),
        };
        async { outcome }.boxed()
    }

    fn subscriber(&self, _event_types: &[&'static str]) -> BoxFuture<'_, Result<Box<dyn Subscriber>, Down>> {
        async { Ok(Box::new(MemorySubscriber { broker: self.clone(), delivered: Vec::new() }) as Box<dyn Subscriber>) }
            .boxed()
    }
}

impl Publisher for MemoryBroker {
    fn publish<'p>(&'p mut self, messages: &'p [Message]) -> BoxFuture<'p, Vec<DeliveryOutcome>> {
        async move {
            let hangs = self.state().hangs.take();
            let outcomes = if hangs == Some(false) { Vec::new() } else { self.receive(messages) };
            if hangs.is_some() {
                self.hanging.notify_one();
                std::future::pending::<()>().await;
            }
            outcomes
        }
        .boxed()
    }

    fn check(&mut self) -> Result<(), Down> {
        match self.state().down {
            true => Err(Down("down".to_owned())),
            false => Ok(()),
        }
    }
}

impl MemoryBroker {
    fn receive(&self, messages: &[Message]) -> Vec<DeliveryOutcome> {
        let mut state = self.state();
        state.batches.push(messages.len());
        let (confirmed, arriving) = state.breaks_after.take().unwrap_or((messages.len(), 0));
        let mut outcomes = Vec::new();
        for (number, message) in messages.iter().enumerate() {
            let unanswered = DeliveryOutcome::Unanswered("cut".to_owned());
            outcomes.push(match number {
                n if n >= confirmed + arriving => unanswered,
                _ if state.refused.contains(&message.event_type) => DeliveryOutcome::Refused("too large".to_owned()),
                _ if state.unrouted.contains(&message.event_type) => DeliveryOutcome::Unrouted,
                n => {
                    state.arrived.push(message.clone());
                    if n < confirmed { DeliveryOutcome::Confirmed } else { unanswered }
                }
            });
        }
        outcomes
    }
}

struct MemorySubscriber {
    broker: MemoryBroker,
    delivered: Vec<Vec<u8>>,
}

impl Subscriber for MemorySubscriber {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Down>> {
        self.delivered = self.broker.state().inbound.drain(..).collect();
        let messages = self.delivered.clone();
        async move { if messages.is_empty() { Err(Down("the end".to_owned())) } else { Ok(messages) } }.boxed()
    }

    fn settle(&mut self, settlements: Vec<Settlement>) -> BoxFuture<'_, Result<(), Down>> {
        let settled = std::mem::take(&mut self.delivered).into_iter().zip(settlements);
        self.broker.state().settled.extend(settled);
        async { Ok(()) }.boxed()
    }
}
