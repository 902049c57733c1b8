//! A broker in memory, whose faults a test chooses; and what tests with any broker share.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use crm::{
    app::App,
    events::{
        broker::{Broker, Down, Message, Outcome, Publisher, Settlement, Subscriber},
        relay::{Relay, Step},
    },
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::id;

/// Gives positions and publishes until nothing is left to do.
pub async fn drain(app: &App, relay: &mut Relay) {
    app.order_events().await.unwrap();
    for _ in 0..100_000 {
        match relay.step().await.unwrap() {
            Step::Idle => return,
            Step::Sent(_) => {}
            Step::Elsewhere => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            Step::Down(again) => tokio::time::sleep_until(again).await,
        }
    }
    panic!("it does not end");
}

/// How far the events of each customer came.
#[derive(Default)]
pub struct Versions(HashMap<String, i64>);

impl Versions {
    /// Fails unless the event is the next one of its customer, whose id it gives.
    pub fn next(&mut self, event: &Value) -> String {
        let customer = id(&event["data"]["resource"], "customerId");
        let last = self.0.entry(customer.clone()).or_default();
        *last += 1;
        assert_eq!(event["data"]["version"], *last, "of {customer}");
        customer
    }
}

/// The event that a task about the customer was completed.
pub fn task_completed(number: usize, customer: &str) -> Value {
    let data = json!({ "tenantId": "default", "customerId": customer, "title": format!("Task {number}") });
    json!({ "eventId": format!("e{number}"), "eventType": "oa.task.completed", "timestamp": "2026-01-31T09:30:00Z",
        "source": "oa", "traceId": "x", "data": data })
}

/// A broker in memory.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<State>>, Arc<Notify>);

#[derive(Default)]
pub struct State {
    /// No connection can be made.
    pub down: bool,
    /// Types of events that cannot be routed.
    pub unroutable: Vec<String>,
    /// The next publication breaks: so many are confirmed, so many more arrive and are not answered, the rest is lost.
    pub breaks_after: Option<(usize, usize)>,
    /// The next publication never ends: before the messages arrive, or after (`true`).
    pub hangs: Option<bool>,
    /// What arrived, in order.
    pub arrived: Vec<Message>,
    /// How many messages were on their way in each publication.
    pub waves: Vec<usize>,
    /// What waits to be taken.
    pub inbound: VecDeque<Vec<u8>>,
    /// How what was taken ended.
    pub settled: Vec<(Vec<u8>, Settlement)>,
}

impl Memory {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Ready once a publication hangs.
    pub async fn hung(&self) {
        self.1.notified().await;
    }

    /// The events that arrived, without those that came again.
    pub fn events(&self) -> Vec<Value> {
        let mut ids = std::collections::HashSet::new();
        let state = self.state();
        let first = state.arrived.iter().filter(|message| ids.insert(message.id));
        first.map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
    }
}

impl Broker for Memory {
    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, Down>> {
        let outcome = match self.state().down {
            true => Err(Down("down".to_owned())),
            false => Ok(Box::new(self.clone()) as Box<dyn Publisher>),
        };
        async { outcome }.boxed()
    }

    fn subscriber(&self) -> BoxFuture<'_, Result<Box<dyn Subscriber>, Down>> {
        async { Ok(Box::new(Taker { broker: self.clone(), taken: Vec::new() }) as Box<dyn Subscriber>) }.boxed()
    }
}

impl Publisher for Memory {
    fn publish<'p>(&'p mut self, messages: &'p [Message]) -> BoxFuture<'p, Vec<Outcome>> {
        async move {
            let hangs = self.state().hangs.take();
            let outcomes = if hangs == Some(false) { Vec::new() } else { self.receive(messages) };
            if hangs.is_some() {
                self.1.notify_one();
                std::future::pending::<()>().await;
            }
            outcomes
        }
        .boxed()
    }
}

impl Memory {
    fn receive(&self, messages: &[Message]) -> Vec<Outcome> {
        let mut state = self.state();
        state.waves.push(messages.len());
        let (confirmed, arriving) = state.breaks_after.take().unwrap_or((messages.len(), 0));
        let mut outcomes = Vec::new();
        for (number, message) in messages.iter().enumerate() {
            let unanswered = Outcome::Unanswered("cut".to_owned());
            outcomes.push(match number {
                n if n >= confirmed + arriving => unanswered,
                _ if state.unroutable.contains(&message.event_type) => Outcome::Refused("NO_ROUTE".to_owned()),
                n => {
                    state.arrived.push(message.clone());
                    if n < confirmed { Outcome::Confirmed } else { unanswered }
                }
            });
        }
        outcomes
    }
}

struct Taker {
    broker: Memory,
    taken: Vec<Vec<u8>>,
}

impl Subscriber for Taker {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Down>> {
        self.taken = self.broker.state().inbound.drain(..).collect();
        let taken = self.taken.clone();
        async move { if taken.is_empty() { Err(Down("the end".to_owned())) } else { Ok(taken) } }.boxed()
    }

    fn settle(&mut self, settlements: Vec<Settlement>) -> BoxFuture<'_, Result<(), Down>> {
        let settled = std::mem::take(&mut self.taken).into_iter().zip(settlements);
        self.broker.state().settled.extend(settled);
        async { Ok(()) }.boxed()
    }
}
