//! Connections in turn: of several that a pool has, one party holds half at most, and those who wait are served in turn.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use sea_orm::{DbErr, RuntimeErr, sqlx};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{deadline::timed_out, fair_queue::FairQueue, party::Party};

/// The most that wait for a connection; further ones are answered 503.
const QUEUE_SIZE: usize = 4096;

/// Who may use the connections of one pool. Cheap to clone.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<State>>);

struct State {
    free: usize,
    /// The most that one party holds.
    share: usize,
    held: HashMap<Party, usize>,
    waiting: FairQueue<oneshot::Sender<Turn>>,
}

/// The right to use a connection, until it is dropped.
pub(super) struct Turn {
    party: Party,
    turns: Turns,
}

impl Turns {
    /// Turns for a pool of so many connections.
    pub(super) fn of(connections: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            free: connections,
            share: connections.div_ceil(2),
            held: HashMap::new(),
            waiting: FairQueue::new(QUEUE_SIZE),
        })))
    }

    /// The most connections that one party holds.
    pub(super) fn share(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).share
    }

    /// A turn for this party, waited for no longer than `until`.
    pub(super) async fn take(&self, party: &Party, until: Instant) -> Result<Turn, DbErr> {
        let (sender, receiver) = oneshot::channel();
        // Dropped outside the lock: who waited there is told so by that.
        let displaced = self.change(|state| state.waiting.push(party, sender));
        drop(displaced);
        match timeout_at(until, receiver).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(no_turn(sqlx::Error::PoolTimedOut)),
            Err(_) => Err(no_turn(timed_out())),
        }
    }

    /// Changes the state, and gives out what is free then.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (value, given) = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let value = change(&mut state);
            (value, state.give(self))
        };
        // One that nobody waits for any more comes back by being dropped, which needs the lock.
        given.into_iter().for_each(|(sender, turn)| drop(sender.send(turn)));
        value
    }
}

impl State {
    fn give(&mut self, turns: &Turns) -> Vec<(oneshot::Sender<Turn>, Turn)> {
        let mut given = Vec::new();
        while self.free > 0 {
            let (held, share) = (&self.held, self.share);
            let next = self.waiting.pop_if(|party| held.get(party).is_none_or(|held| *held < share));
            let Some((party, sender)) = next else { break };
            if sender.is_closed() {
                continue;
            }
            self.free -= 1;
            *self.held.entry(party.clone()).or_default() += 1;
            given.push((sender, Turn { party, turns: turns.clone() }));
        }
        given
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.change(|state| {
            state.free += 1;
            if let Some(held) = state.held.get_mut(&self.party) {
                *held -= 1;
                if *held == 0 {
                    state.held.remove(&self.party);
                }
            }
        });
    }
}

fn no_turn(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}
