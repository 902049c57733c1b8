//! Rows that are looked up by their ids on PostgreSQL. Whoever comes first reads by himself; who comes while as many as may are reading waits,
//! and all who wait then are answered by one statement: to ask for a row costs the server more than to find it.
//!
//! Each row is found by its own tenant and id, and later than it was asked for. Whatever fails, everybody in it reads by himself.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sea_orm::{DbErr, QueryResult, Statement};
use tokio::{runtime::Handle, sync::oneshot, time::Instant};

use super::{arrays, fair_queue::FairQueue, party::Party, pool::Pool};

/// The most that wait; further ones read by themselves.
const QUEUE_SIZE: usize = 4096;
/// The most that are answered by one statement.
const SIZE: usize = 32;
/// Of how many connections for reading one may be used at once by those who read a row.
const CONNECTIONS: usize = 3;

/// How long a row is waited for. Those who read may have to wait for somebody's lock on another table: who waits for them for so long reads
/// by himself.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

/// Who looks up rows.
pub(super) struct Lookups {
    pool: Pool,
    /// How many statements are run at once.
    most: usize,
    state: Mutex<State>,
}

struct State {
    waiting: FairQueue<Lookup>,
    running: usize,
}

/// A row that is waited for.
struct Lookup {
    statement: Statement,
    until: Instant,
    found: oneshot::Sender<Option<QueryResult>>,
}

/// How a row is to be read.
pub(super) enum Place {
    /// By whoever asked; when this is dropped, those who waited meanwhile are answered.
    First(Running),
    /// By others, unless the sender is dropped.
    Waiting(oneshot::Receiver<Option<QueryResult>>),
}

/// One of those who may read at once.
pub(super) struct Running(Arc<Lookups>);

impl Lookups {
    /// With so many connections.
    pub(super) fn new(pool: Pool, connections: usize) -> Arc<Self> {
        let state = Mutex::new(State { waiting: FairQueue::new(QUEUE_SIZE), running: 0 });
        Arc::new(Self { pool, most: (connections / CONNECTIONS).max(1), state })
    }

    /// The place of who wants what this statement finds.
    pub(super) fn place(self: &Arc<Self>, party: &Party, statement: &Statement, until: Instant) -> Place {
        let mut state = self.state();
        if state.running < self.most {
            state.running += 1;
            return Place::First(Running(Arc::clone(self)));
        }
        let (found, receiver) = oneshot::channel();
        // Who has no place learns that by his sender, which is dropped.
        let displaced = state.waiting.push(party, Lookup { statement: statement.clone(), until, found });
        drop(state);
        drop(displaced);
        Place::Waiting(receiver)
    }

    /// Answers all who wait, until nobody does.
    async fn run(self: Arc<Self>) {
        let _running = Running(Arc::clone(&self));
        loop {
            let mut lookups = self.next();
            if lookups.is_empty() {
                return;
            }
            while let Some(sql) = lookups.first().map(|lookup| lookup.statement.sql.clone()) {
                let (alike, others) = lookups.into_iter().partition(|lookup| lookup.statement.sql == sql);
                lookups = others;
                if let Err(error) = self.find(alike).await {
                    tracing::debug!(%error, "rows are looked up one by one");
                }
            }
        }
    }

    fn next(&self) -> Vec<Lookup> {
        let mut state = self.state();
        let waiting = std::iter::from_fn(|| state.waiting.pop_if(|_| true)).map(|(_, lookup)| lookup);
        waiting.filter(|lookup| !lookup.found.is_closed()).take(SIZE).collect()
    }

    /// Finds the rows of statements that differ in their values alone.
    async fn find(&self, lookups: Vec<Lookup>) -> Result<(), DbErr> {
        let Some(until) = lookups.iter().map(|lookup| lookup.until).min() else { return Ok(()) };
        let statements: Vec<&Statement> = lookups.iter().map(|lookup| &lookup.statement).collect();
        let statement =
            arrays::each_of(&statements).ok_or_else(|| DbErr::Type("a value of a type without arrays".to_owned()))?;
        let mut connection = self.pool.get(&Party::Several, until).await?;
        statements.iter().for_each(|statement| connection.statements.tell(statement));
        let mut found: Vec<Option<QueryResult>> = lookups.iter().map(|_| None).collect();
        for row in connection.query_arrays(statement, until).await? {
            if let Some(found) = arrays::place(&row)?.and_then(|place| found.get_mut(place)) {
                *found = Some(row);
            }
        }
        for (lookup, row) in lookups.into_iter().zip(found) {
            // Who is gone wants nothing any more.
            let _gone = lookup.found.send(row);
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.running -= 1;
        if state.waiting.is_empty() {
            return;
        }
        // Without a runtime nobody waits any more.
        if let Ok(runtime) = Handle::try_current() {
            state.running += 1;
            drop(state);
            drop(runtime.spawn(Arc::clone(&self.0).run()));
        }
    }
}
