//! What every transaction needs, whoever shares it.

use std::{sync::Arc, time::Duration};

use sea_orm::DbErr;
use tokio::time::Instant;

use crate::{
    database::{
        connect::planning,
        deadline::Deadline,
        executor::unit_of_work::Scope,
        health::Health,
        pool::{Pool, PooledConnection},
        standby::Standby,
        steps::Steps,
    },
    error::{Error, Result},
    telemetry::database_metrics::DatabaseMetrics,
};

/// How long a first attempt waits for a lock.
pub(super) const FIRST_LOCK_TIMEOUT: Duration = Duration::from_millis(200);
/// COMMIT. It waits for the disk, whatever somebody set since the start. The server must not cancel it, because it could
/// have taken effect all the same. In a transaction that failed, COMMIT alone would be a ROLLBACK that succeeds; the settings
/// are refused.
const COMMIT: &str = "SELECT set_config('synchronous_commit', 'on', true) \
                      WHERE current_setting('synchronous_commit') = 'off'; \
                      SET LOCAL statement_timeout = 0; COMMIT";

/// Begins and commits transactions.
pub(super) struct Committer {
    pub(super) pool: Pool,
    /// Where requests are read that need not be read here.
    pub(super) standby: Option<Arc<Standby>>,
    pub(super) steps: Arc<Steps>,
    pub(super) health: Arc<Health>,
    pub(super) metrics: DatabaseMetrics,
}

impl Committer {
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
}

/// BEGIN and its time limits: in one message, and local to the transaction, so that they hold through a pooler too.
pub(super) fn begin(deadline: Deadline, lock_timeout: Duration) -> String {
    let remaining = deadline.remaining().as_millis().max(1);
    let lock_timeout = lock_timeout.as_millis().min(remaining);
    format!(
        "BEGIN; SET LOCAL statement_timeout = {remaining}; SET LOCAL lock_timeout = {lock_timeout}; \
         SET LOCAL idle_in_transaction_session_timeout = {remaining}; {}",
        planning("SET LOCAL")
    )
}

pub(super) fn in_time<T>(outcome: std::result::Result<T, tokio::time::error::Elapsed>) -> Result<T> {
    outcome.map_err(|_| Error::contention("another change took too long"))
}
