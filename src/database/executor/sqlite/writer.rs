//! The one task that writes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    DISK_TIMEOUT, LOCKED,
    group::{self, Group},
    maintenance::Maintenance,
    queue::WorkQueue,
    queued_work::QueuedWork,
};
use crate::{
    database::{
        fault::db_error,
        party::Party,
        pool::PooledConnection,
        read_cache::{ReadCache, Writing},
        steps::Steps,
    },
    error::{Error, Result},
    telemetry::database_metrics::DatabaseMetrics,
};

/// How large a group of one tenant's work becomes.
const ALONE: GroupLimit = GroupLimit { size: 64, time: Duration::from_millis(100) };
/// The same where several tenants are in the group. One with little work is not to wait for another's that has much: neither
/// for its commit, nor behind the answers to all of it, which keep the cores busy.
const SHARED: GroupLimit = GroupLimit { size: 32, time: Duration::from_millis(10) };
/// How much more of it one tenant may have than another.
const AHEAD: usize = 3;
/// How long work waits for another process's lock before it is refused.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an emptying of the log waits for readers, while all work waits for it.
const LOG_PATIENCE: Duration = Duration::from_millis(10);
/// How often the file is checked, and a commit tried while commits fail.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(1);

/// When a group takes in no further work.
struct GroupLimit {
    /// The most units of work that share a commit.
    size: usize,
    /// How long it takes in work: the first one in it waits for all of them.
    time: Duration,
}

/// Takes work from the queue, runs it and commits it.
pub(super) struct Writer {
    maintenance: Maintenance,
    steps: Arc<Steps>,
    queue: Arc<WorkQueue>,
    /// Those who wait for the write-ahead log to be emptied.
    log_emptying: mpsc::Receiver<oneshot::Sender<Result<bool>>>,
    /// The log was emptied, or tried to be, since work was last taken from the queue.
    work_is_next: bool,
    /// Taken from the queue, and waiting for a transaction to begin.
    first: Option<(Party, QueuedWork)>,
    /// Told of what changes.
    cache: Arc<ReadCache>,
    metrics: DatabaseMetrics,
}

impl Writer {
    pub(super) fn new(
        maintenance: Maintenance,
        steps: Arc<Steps>,
        queue: Arc<WorkQueue>,
        log_emptying: mpsc::Receiver<oneshot::Sender<Result<bool>>>,
        cache: Arc<ReadCache>,
        metrics: DatabaseMetrics,
    ) -> Self {
        Self { maintenance, steps, queue, log_emptying, work_is_next: false, first: None, cache, metrics }
    }

    /// Runs until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        let mut ticks = interval(MAINTENANCE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let may_empty = !self.work_is_next || self.queue.is_empty();
            tokio::select! {
                biased;
                _ = ticks.tick() => self.maintain().await,
                Some(asked) = self.log_emptying.recv(), if may_empty => self.empty_log(asked).await,
                next = self.queue.next() => match next {
                    Some((_, work)) if self.maintenance.writes_fail() => work.refuse(Error::unavailable("the database cannot be written")),
                    Some(work) => self.commit_together(work).await,
                    None => break,
                },
            }
        }
        if let Err(error) = self.maintenance.flush().await {
            self.fails(&error).await;
        }
        self.maintenance.close().await;
    }

    /// Empties the log once for all who wait for that.
    async fn empty_log(&mut self, first: oneshot::Sender<Result<bool>>) {
        self.work_is_next = true;
        let mut asked = vec![first];
        asked.extend(std::iter::from_fn(|| self.log_emptying.try_recv().ok()));
        let emptied = match self.maintenance.writes_fail() {
            true => Err(Error::unavailable("the database cannot be written")),
            false => self.maintenance.empty_log(LOG_PATIENCE).await,
        };
        if let Err(error) = &emptied
            && !self.maintenance.writes_fail()
        {
            self.fails(error).await;
        }
        for asked in asked {
            // Where nobody waits any more, it is emptied all the same.
            let _gone = asked.send(emptied.clone());
        }
    }

    async fn maintain(&mut self) {
        self.maintenance.health().writer_is_busy(true);
        if let Err(error) = self.maintenance.tick().await {
            self.fails(&error).await;
        }
        self.maintenance.health().writer_is_busy(false);
    }

    /// Runs this unit of work and what else waits in one transaction, commits it, and answers.
    async fn commit_together(&mut self, first: (Party, QueuedWork)) {
        self.first = Some(first);
        self.work_is_next = false;
        self.maintenance.log_grows();
        self.maintenance.health().writer_is_busy(true);
        match self.transaction().await {
            Ok(true) => self.maintenance.health().writes_work(),
            Ok(false) => self.maintenance.health().writes_fail(LOCKED),
            Err(error) => self.fails(&error).await,
        }
        self.maintenance.health().writer_is_busy(false);
    }

    /// One transaction: whether there was one, or everybody was refused waiting for it.
    async fn transaction(&mut self) -> Result<bool> {
        let Some(connection) = self.begin().await? else { return Ok(false) };
        let mut group = Group::new(connection, Arc::clone(&self.steps), Writing::begin(&self.cache));
        let began = Instant::now();
        let (mut units, mut tenants) = (Vec::new(), Tenants::default());
        while !tenants.have_enough(units.len(), began.elapsed())
            && group.is_sound().await
            && !group.is_spoilt()
            && let Some((party, mut work)) = self.first.take().or_else(|| self.queue.try_next())
        {
            self.maintenance.health().writer_is_busy(true);
            tenants.note(party);
            self.metrics.write_wait.observe(work.waited().as_secs_f64());
            work.run(&group, units.len()).await;
            units.push(work);
        }
        group.finish().await;
        if group.is_spoilt() {
            self.run_again(&mut group, &mut units).await;
        }
        let (ended, size) = (Instant::now(), units.len());
        let committed = self.commit(&group).await;
        self.metrics.commit.observe(ended.elapsed().as_secs_f64());
        self.metrics.group_size.observe(size as f64);
        // Who is answered reads what was committed.
        group.end(committed.is_ok());
        for (unit, work) in units.into_iter().enumerate() {
            let refused = committed.is_ok().then(|| group.refusal(unit)).flatten();
            work.answer(refused.map_or_else(|| committed.clone(), Err));
        }
        committed.map(|()| true)
    }

    /// Runs the units of a spoilt group once more.
    async fn run_again(&mut self, group: &mut Group, units: &mut [QueuedWork]) {
        if let Err(error) = group.begin_again().await {
            tracing::debug!(cause = error.cause(), "a transaction cannot be begun again");
            return;
        }
        for (unit, work) in units.iter_mut().enumerate() {
            if group.is_sound().await {
                self.maintenance.health().writer_is_busy(true);
                work.run(group, unit).await;
            }
        }
    }

    /// Begins a transaction as soon as no other process holds the lock. Work that waited too long for that is refused;
    /// `None` where none is left.
    async fn begin(&mut self) -> Result<Option<PooledConnection>> {
        let mut connection = self.maintenance.connection().await?;
        loop {
            let Err(error) = connection.begin(group::BEGIN, Instant::now() + DISK_TIMEOUT, &self.steps).await else {
                self.stay_in_place(&mut connection).await?;
                return Ok(Some(connection));
            };
            if !connection.is_trusted() {
                return Err(error.into());
            }
            let is_late = |work: &QueuedWork| work.waited() >= LOCK_TIMEOUT;
            if let Some((_, work)) = self.first.take_if(|(_, work)| is_late(work)) {
                work.refuse(Error::unavailable(LOCKED));
            }
            self.queue.refuse_locked(is_late);
            if self.first.is_none() && self.queue.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Commits the group. COMMIT fails where no transaction is open, and a connection on which anything failed before is not
    /// asked at all: `Ok` means that the group is on disk.
    async fn commit(&mut self, group: &Group) -> Result<()> {
        let mut connection = group.connection().await;
        if !connection.is_trusted() {
            return Err(Error::unavailable("another change in the same transaction failed"));
        }
        self.stay_in_place(&mut connection).await?;
        let committed = connection.commit("COMMIT", Instant::now() + DISK_TIMEOUT, &self.steps).await;
        committed.map_err(Error::outcome_unknown)?;
        // It may have been replaced in between.
        self.maintenance.file().ensure_in_place().map_err(Error::outcome_unknown)
    }

    /// Rolls back where the file is not in place. The connection stays: what a deleted log held can be saved through it
    /// alone.
    async fn stay_in_place(&mut self, connection: &mut PooledConnection) -> Result<()> {
        if let Err(error) = self.maintenance.file().ensure_in_place() {
            connection.rollback(Instant::now() + DISK_TIMEOUT).await?;
            return Err(db_error(error).into());
        }
        Ok(())
    }

    async fn fails(&mut self, error: &Error) {
        self.metrics.write_failures.inc();
        tracing::error!(cause = error.cause(), "a transaction failed");
        // Where it could not even be begun, this waited for it; what is behind it is tried, or refused, by itself.
        if let Some((_, work)) = self.first.take() {
            work.refuse(Error::unavailable("a transaction cannot be begun"));
        }
        self.maintenance.commit_failed().await;
    }
}

/// How much work each tenant has in a group.
#[derive(Default)]
struct Tenants(HashMap<Party, usize>);

impl Tenants {
    /// Work of this party is in the group. The service's own is waited for by nobody.
    fn note(&mut self, party: Party) {
        if party != Party::Service {
            *self.0.entry(party).or_default() += 1;
        }
    }

    /// Whether the group takes in no further work, with so many units after this time.
    fn have_enough(&self, units: usize, time: Duration) -> bool {
        let (most, least) = (self.0.values().max(), self.0.values().min());
        let one_is_ahead = most.zip(least).is_some_and(|(most, least)| most - least >= AHEAD);
        let limit = if self.0.len() > 1 { SHARED } else { ALONE };
        units >= limit.size || one_is_ahead || time >= limit.time
    }
}
