//! The executor as the rest of the database uses it.

use std::sync::Arc;

use sea_orm::DbErr;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::{
    group::Groups,
    member::{Answer, Member},
};
use crate::{
    database::{
        executor::{
            resource_locks::ResourceLocks,
            unit_of_work::{Scope, UnitOfWork, WAIT},
        },
        health::Health,
        pool::{Pool, PooledConnection},
        standby::Standby,
        steps::Steps,
    },
    error::{Error, Result},
    telemetry::{database_metrics::DatabaseMetrics, span::Span},
};

/// COMMIT. It waits for the disk, whatever somebody set since the start. The server must not cancel it, because it could
/// have taken effect all the same. In a transaction that failed, COMMIT alone would be a ROLLBACK that succeeds; the settings
/// are refused.
const COMMIT: &str = "SELECT set_config('synchronous_commit', 'on', true) \
                      WHERE current_setting('synchronous_commit') = 'off'; \
                      SET LOCAL statement_timeout = 0; COMMIT";

/// What commits changes on PostgreSQL.
pub(in crate::database) struct PostgresExecutor {
    pub(super) pool: Pool,
    pub(super) groups: Groups,
    resource_locks: ResourceLocks,
    /// Bounds those who wait for long: a row that somebody else has locked must not use up all connections.
    pub(super) lock_waiters: Semaphore,
    /// Where requests are read that need not be read here.
    standby: Option<Arc<Standby>>,
    pub(super) steps: Arc<Steps>,
    pub(super) health: Arc<Health>,
    pub(super) metrics: DatabaseMetrics,
}

/// A change that waits for its transaction to begin, until this is dropped.
pub(super) struct Waiting {
    metrics: DatabaseMetrics,
    since: Instant,
    _span: Span,
}

impl Waiting {
    fn new(metrics: &DatabaseMetrics) -> Self {
        metrics.writes_waiting.inc();
        Self { metrics: metrics.clone(), since: Instant::now(), _span: Span::of_current(WAIT) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.metrics.writes_waiting.dec();
        self.metrics.write_wait.observe(self.since.elapsed().as_secs_f64());
    }
}

impl PostgresExecutor {
    pub(in crate::database) fn new(
        (pool, connections): (Pool, usize),
        standby: Option<Arc<Standby>>,
        steps: Arc<Steps>,
        health: Arc<Health>,
        metrics: DatabaseMetrics,
    ) -> Self {
        let lock_waiters = Semaphore::new(connections.div_ceil(4));
        let (groups, resource_locks) = Default::default();
        Self { pool, groups, resource_locks, lock_waiters, standby, steps, health, metrics }
    }

    /// Runs work until it is committed or refused, or its time is over: with others, or by itself.
    pub(in crate::database::executor) async fn transact<T: Send + 'static>(
        self: &Arc<Self>,
        scope: Scope,
        work: impl UnitOfWork<T>,
    ) -> Result<T> {
        let (scope, work) = (Arc::new(scope), Arc::new(work));
        let until = scope.deadline.for_statements();
        let mut waiting = Some(Waiting::new(&self.metrics));
        let _lock = match scope.resource {
            Some(resource) => Some(in_time(timeout_at(until, self.resource_locks.lock(resource)).await)?),
            None => None,
        };
        match self.together(&scope, &work, &mut waiting).await {
            Some(outcome) => outcome,
            None => self.alone(&scope, &*work, waiting.unwrap_or_else(|| Waiting::new(&self.metrics))).await,
        }
    }

    /// Runs work as one of a group; `None` where it has to run by itself.
    async fn together<T: Send + 'static>(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        work: &Arc<impl UnitOfWork<T>>,
        waiting: &mut Option<Waiting>,
    ) -> Option<Result<T>> {
        let (mut member, receiver) = Member::new(scope, work);
        member.advance().await;
        if let Some(mut member) = member.staying(true) {
            waiting.take().into_iter().for_each(|waiting| member.waits(waiting));
            self.join(member);
        }
        match receiver.await {
            Ok(Answer::Outcome(outcome)) => Some(outcome),
            Ok(Answer::Alone) => None,
            Err(_) => Some(Err(Error::internal("a group panicked"))),
        }
    }

    /// Commits the transaction of those who share it.
    pub(super) async fn commit(
        &self,
        connection: &mut PooledConnection,
        scopes: &[&Scope],
        until: Instant,
    ) -> std::result::Result<(), DbErr> {
        let ended = Instant::now();
        let committed = connection.commit(COMMIT, until, &self.steps).await;
        self.metrics.commit.observe(ended.elapsed().as_secs_f64());
        self.metrics.group_size.observe(scopes.len() as f64);
        if committed.is_ok() {
            self.health.writes_work();
        }
        let Some(standby) = &self.standby else { return committed };
        // Also where it is not known whether it was committed.
        scopes.iter().for_each(|scope| standby.wrote(&scope.party));
        if committed.is_ok()
            && let Some(position) = standby.committed(connection, until).await
        {
            scopes.iter().for_each(|scope| scope.recency.reach(position));
        }
        committed
    }

    pub(in crate::database::executor) async fn close(&self) {
        self.pool.close().await;
    }
}

pub(super) fn in_time<T>(outcome: std::result::Result<T, tokio::time::error::Elapsed>) -> Result<T> {
    outcome.map_err(|_| Error::contention("another change took too long"))
}
