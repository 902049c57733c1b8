//! The executor as the rest of the database uses it.

use std::sync::Arc;

use tokio::time::timeout_at;

use super::{
    alone::Alone,
    committer::{Committer, in_time},
    group::Groups,
    member::{Answer, Member},
    waiting::Waiting,
};
use crate::{
    database::{
        executor::{
            resource_locks::ResourceLocks,
            unit_of_work::{Scope, UnitOfWork},
        },
        health::Health,
        pool::Pool,
        standby::Standby,
        steps::Steps,
    },
    error::{Error, Result},
    telemetry::database_metrics::DatabaseMetrics,
};

/// What commits changes on PostgreSQL.
pub(in crate::database) struct PostgresExecutor {
    groups: Arc<Groups>,
    alone: Alone,
    committer: Arc<Committer>,
    resource_locks: ResourceLocks,
}

impl PostgresExecutor {
    pub(in crate::database) fn new(
        (pool, connections): (Pool, usize),
        standby: Option<Arc<Standby>>,
        steps: Arc<Steps>,
        health: Arc<Health>,
        metrics: DatabaseMetrics,
    ) -> Self {
        let committer = Arc::new(Committer { pool, standby, steps, health, metrics });
        let groups = Arc::new(Groups::new(Arc::clone(&committer), connections));
        let alone = Alone::new(Arc::clone(&committer), connections);
        Self { groups, alone, committer, resource_locks: ResourceLocks::default() }
    }

    /// Runs work until it is committed or refused, or its time is over: with others, or by itself.
    pub(in crate::database::executor) async fn transact<T: Send + 'static>(
        &self,
        scope: Scope,
        work: impl UnitOfWork<T>,
    ) -> Result<T> {
        let (scope, work) = (Arc::new(scope), Arc::new(work));
        let until = scope.deadline.for_statements();
        let mut waiting = Some(Waiting::new(&self.committer.metrics));
        let _lock = match scope.resource {
            Some(resource) => Some(in_time(timeout_at(until, self.resource_locks.lock(resource)).await)?),
            None => None,
        };
        match self.together(&scope, &work, &mut waiting).await {
            Some(outcome) => outcome,
            None => {
                self.alone.run(&scope, &*work, waiting.unwrap_or_else(|| Waiting::new(&self.committer.metrics))).await
            }
        }
    }

    /// Runs work as one of a group; `None` where it has to run by itself.
    async fn together<T: Send + 'static>(
        &self,
        scope: &Arc<Scope>,
        work: &Arc<impl UnitOfWork<T>>,
        waiting: &mut Option<Waiting>,
    ) -> Option<Result<T>> {
        let (mut member, mut receiver) = Member::new(scope, work);
        let seat = Arc::clone(&member.seat);
        member.advance().await;
        if let Some(mut member) = member.staying(true) {
            waiting.take().into_iter().for_each(|waiting| member.waits(waiting));
            self.groups.join(member);
        }
        let answer = match timeout_at(scope.deadline.for_statements(), &mut receiver).await {
            Ok(answer) => answer,
            Err(_) if seat.settle() => return Some(Err(Error::unavailable("the change waited for too long"))),
            // Its group knows what becomes of it.
            Err(_) => receiver.await,
        };
        match answer {
            Ok(Answer::Outcome(outcome)) => Some(outcome),
            Ok(Answer::Alone) => None,
            Err(_) => Some(Err(Error::internal("a group panicked"))),
        }
    }

    pub(in crate::database::executor) async fn close(&self) {
        self.committer.pool.close().await;
    }
}
