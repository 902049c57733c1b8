//! A broker in memory that fails as a test asks, and how any broker is published to.

use std::{
    collections::{HashSet, VecDeque},
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use crm::{
    app::App,
    broker::{
        Broker, Choose, DeadLetterAction, Delivery, DeliveryOutcome, Down, Message, Publisher, Settled, Settlement,
        Subscriber,
    },
    config::{Config, EventsUrl},
    events::outbox,
    relay::{Relay, Step},
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::Value;
use tokio::sync::Notify;

/// What the environment says about a broker at this URL, whose certificate this authority has signed.
pub fn configured(url: &str, ca_file: &Path) -> EventsUrl {
    let lookup = |name: &str| match name {
        "CRM_EVENTS_URL" => Some(url.to_owned()),
        "CRM_EVENTS_CA_FILE" => Some(ca_file.to_str().unwrap().to_owned()),
        _ => None,
    };
    Config::read(&lookup).0.unwrap().events_url.unwrap()
}

/// A relay of an instance to a broker.
pub fn relay_to(app: &App, broker: Arc<dyn Broker>) -> Relay {
    let (database, metrics) = (Arc::clone(app.database()), Arc::clone(app.metrics()));
    Relay::new(database, app.clock().clone(), metrics, broker, app.new_id()).traced_by(app.spans())
}

/// Publishes all committed events.
pub async fn drain(app: &App, relay: &mut Relay) {
    outbox::assign_positions(app.database()).await.unwrap();
    for _ in 0..100_000 {
        match relay.step().await.unwrap() {
            Step::Idle => return,
            Step::Sent(_) => {}
            Step::Elsewhere => tokio::time::sleep(Duration::from_millis(50)).await,
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
    settling: Arc<Notify>,
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
    /// Messages to be consumed. One that is delayed becomes the last at once.
    pub inbound: VecDeque<Vec<u8>>,
    /// Consumed messages, in the order in which they were settled.
    pub settled: Vec<(Vec<u8>, Settlement)>,
    /// The sender that is vouched for.
    pub sender: Option<&'static str>,
    /// The `traceparent` of what is consumed.
    pub traceparent: Option<String>,
    /// Dead letters are not taken.
    pub refuses_dead_letters: bool,
    unsettled: usize,
    delayed: VecDeque<(Vec<u8>, u32)>,
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
    fn system(&self) -> &'static str {
        "memory"
    }

    fn publisher(&self) -> BoxFuture<'_, Result<Box<dyn Publisher>, Down>> {
        let outcome = match self.state().down {
            true => Err(Down("down".to_owned())),
            false => Ok(Box::new(self.clone()) as Box<dyn Publisher>),
        };
        async { outcome }.boxed()
    }

    fn subscriber<'b>(
        &'b self,
        _event_types: &'b [&'static str],
        _pause: Duration,
    ) -> BoxFuture<'b, Result<Box<dyn Subscriber>, Down>> {
        async { Ok(Box::new(MemorySubscriber { broker: self.clone() }) as Box<dyn Subscriber>) }.boxed()
    }

    fn dead_letters<'b>(
        &'b self,
        _action: DeadLetterAction,
        _limit: u64,
        _choose: &'b mut Choose<'_>,
    ) -> BoxFuture<'b, Result<u64, Down>> {
        async { Err(Down("memory has none".to_owned())) }.boxed()
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
}

impl Subscriber for MemorySubscriber {
    /// Ends when all messages are settled.
    fn next(&mut self) -> BoxFuture<'_, Result<Box<dyn Delivery>, Down>> {
        async {
            loop {
                let settled = self.broker.settling.notified();
                {
                    let mut state = self.broker.state();
                    let new = state.inbound.pop_front().map(|payload| (payload, 0));
                    if let Some((payload, attempts)) = new.or_else(|| state.delayed.pop_front()) {
                        state.unsettled += 1;
                        let (broker, sender, traceparent) =
                            (self.broker.clone(), state.sender, state.traceparent.clone());
                        let delivery = MemoryDelivery { payload, attempts, sender, traceparent, broker };
                        return Ok(Box::new(delivery) as Box<dyn Delivery>);
                    }
                    if state.unsettled == 0 {
                        return Err(Down("the end".to_owned()));
                    }
                }
                settled.await;
            }
        }
        .boxed()
    }
}

struct MemoryDelivery {
    payload: Vec<u8>,
    attempts: u32,
    sender: Option<&'static str>,
    traceparent: Option<String>,
    broker: MemoryBroker,
}

impl Delivery for MemoryDelivery {
    fn payload(&self) -> &[u8] {
        &self.payload
    }

    fn sender(&self) -> Option<&str> {
        self.sender
    }

    fn attempts(&self) -> u32 {
        self.attempts
    }

    fn system(&self) -> &'static str {
        "memory"
    }

    fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    fn settle(self: Box<Self>, settlement: Settlement) -> BoxFuture<'static, Result<Settled, Down>> {
        async move {
            let mut state = self.broker.state();
            state.unsettled -= 1;
            state.settled.push((self.payload.clone(), settlement.clone()));
            let outcome = match settlement {
                Settlement::Ack => Settled::Acked,
                Settlement::Retry(_) => {
                    state.delayed.push_back((self.payload.clone(), self.attempts + 1));
                    Settled::Delayed
                }
                Settlement::Reject(_) if state.refuses_dead_letters => Settled::Dropped("too large".to_owned()),
                Settlement::Reject(_) => Settled::DeadLettered,
            };
            self.broker.settling.notify_one();
            Ok(outcome)
        }
        .boxed()
    }
}
