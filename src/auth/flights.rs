//! Questions that are asked once, however many wait for the answer.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};

/// From how many entries on those are removed that everybody has hung up on.
const SWEEP: usize = 256;

/// The questions under way, each with those who wait for it.
pub(super) struct Flights<K, V> {
    running: Mutex<Running<K, V>>,
}

type Running<K, V> = HashMap<K, WeakShared<BoxFuture<'static, V>>>;

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self { running: Mutex::default() }
    }
}

impl<K: Eq + Hash + Clone, V: Clone + Send + Sync + 'static> Flights<K, V> {
    /// The answer: to the question that is under way, or else to this one, which goes on for as long as somebody waits.
    pub(super) async fn join(&self, key: K, ask: impl FnOnce() -> BoxFuture<'static, V>) -> V {
        let flight = self.flight(&key, ask, drop);
        self.answer(key, flight).await
    }

    /// The same, but the question goes on also after all have hung up.
    pub(super) async fn join_to_the_end(&self, key: K, ask: impl FnOnce() -> BoxFuture<'static, V>) -> V {
        let flight = self.flight(&key, ask, |flight| drop(tokio::spawn(flight)));
        self.answer(key, flight).await
    }

    fn flight(
        &self,
        key: &K,
        ask: impl FnOnce() -> BoxFuture<'static, V>,
        begun: impl FnOnce(Shared<BoxFuture<'static, V>>),
    ) -> Shared<BoxFuture<'static, V>> {
        let mut running = self.running();
        let under_way = running.get(key).and_then(WeakShared::upgrade).filter(|flight| flight.peek().is_none());
        under_way.unwrap_or_else(|| {
            if running.len() >= SWEEP {
                running.retain(|_, flight| flight.upgrade().is_some());
            }
            let flight = ask().shared();
            flight.downgrade().and_then(|flight| running.insert(key.clone(), flight));
            begun(flight.clone());
            flight
        })
    }

    async fn answer(&self, key: K, flight: Shared<BoxFuture<'static, V>>) -> V {
        let answer = flight.await;
        let mut running = self.running();
        // Another question may have begun meanwhile.
        let ended = |flight: &WeakShared<_>| flight.upgrade().is_none_or(|flight| flight.peek().is_some());
        if running.get(&key).is_some_and(ended) {
            running.remove(&key);
        }
        answer
    }

    /// Whether this is being asked.
    pub(super) fn is_under_way(&self, key: &K) -> bool {
        let flight = self.running().get(key).and_then(WeakShared::upgrade);
        flight.is_some_and(|flight| flight.peek().is_none())
    }

    fn running(&self) -> MutexGuard<'_, Running<K, V>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
