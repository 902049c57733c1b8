//! Connections in turn: of several that a pool has, one party holds half at most, and those who wait are served in turn.
//!
//! Where a database server does the work, its processes share the cores: half of the connections, always busy, would leave little
//! of these to others. So there a tenant that has kept a connection busy for long pauses before it may have another in its place,
//! as long as others are reading too. SQLite's reads pause by themselves ([`super::pace`]).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sea_orm::{DbErr, RuntimeErr, sqlx};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, sleep, timeout_at},
};

use super::{deadline::timed_out, fair_queue::FairQueue, party::Party};
use crate::telemetry::database_metrics::PoolMetrics;

/// The most that wait for a connection; further ones are answered 503.
const QUEUE_SIZE: usize = 4096;

/// How long a turn may take without a pause after it.
const UNPACED: Duration = Duration::from_millis(5);
/// How many times as long the pause is, and the longest one.
const PAUSE: u32 = 2;
const MAX_PAUSE: Duration = Duration::from_millis(250);
/// For how long a tenant that has had a turn counts as reading.
const READING: Duration = Duration::from_secs(1);

/// Who may use the connections of one pool. Cheap to clone.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<State>>);

struct State {
    size: usize,
    free: usize,
    /// The most that one party holds.
    share: usize,
    held: HashMap<Party, usize>,
    /// Whether tenants pause after long turns.
    paced: bool,
    /// The tenant that has had a turn last, and the one that has before it.
    last: Option<(Party, Instant)>,
    other: Option<(Party, Instant)>,
    waiting: FairQueue<oneshot::Sender<Turn>>,
    metrics: PoolMetrics,
}

/// The right to use a connection, until it is dropped.
pub(super) struct Turn {
    party: Party,
    since: Instant,
    turns: Turns,
}

impl Turns {
    /// Turns for a pool of so many connections; where it is `paced`, tenants pause after long ones.
    pub(super) fn of(connections: usize, paced: bool, metrics: PoolMetrics) -> Self {
        metrics.size.set(number(connections));
        Self(Arc::new(Mutex::new(State {
            size: connections,
            free: connections,
            share: connections.div_ceil(2),
            held: HashMap::new(),
            paced,
            last: None,
            other: None,
            waiting: FairQueue::new(QUEUE_SIZE),
            metrics,
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
        let displaced = self.change(|state| {
            let displaced = state.waiting.push(party, sender);
            state.metrics.turned_away.inc_by(u64::from(displaced.is_some()));
            displaced
        });
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
            let given = state.give(self);
            state.show();
            (value, given)
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
            let since = Instant::now();
            self.note(&party, since);
            given.push((sender, Turn { party, since, turns: turns.clone() }));
        }
        given
    }

    fn show(&self) {
        self.metrics.in_use.set(number(self.size - self.free));
        self.metrics.waiting.set(number(self.waiting.len()));
    }

    fn note(&mut self, party: &Party, now: Instant) {
        if !matches!(party, Party::Tenant(_)) {
            return;
        }
        if let Some(last) = self.last.take_if(|(last, _)| last != party) {
            self.other = Some(last);
        }
        self.last = Some((party.clone(), now));
    }

    /// How long a party pauses after a turn that took so long.
    fn pause(&self, party: &Party, taken: Duration) -> Duration {
        let now = Instant::now();
        let mut tenants = self.last.iter().chain(&self.other);
        let others_read = tenants.any(|(other, at)| other != party && now.duration_since(*at) < READING);
        match self.paced && matches!(party, Party::Tenant(_)) && taken > UNPACED && others_read {
            true => (taken * PAUSE).min(MAX_PAUSE),
            false => Duration::ZERO,
        }
    }

    fn give_back(&mut self, party: &Party) {
        if let Some(held) = self.held.get_mut(party) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(party);
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let pause = self.turns.change(|state| {
            state.free += 1;
            let pause = state.pause(&self.party, self.since.elapsed());
            if pause.is_zero() {
                state.give_back(&self.party);
            }
            pause
        });
        if pause.is_zero() {
            return;
        }
        let (turns, party) = (self.turns.clone(), self.party.clone());
        let give_back = move || turns.change(|state| state.give_back(&party));
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                sleep(pause).await;
                give_back();
            })),
            // The process ends.
            Err(_) => give_back(),
        }
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn no_turn(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}
