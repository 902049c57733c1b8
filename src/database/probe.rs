//! The health check of PostgreSQL: each second, on a connection of its own, whether it can be read and written.

use std::{sync::Arc, time::Duration};

use sea_orm::{DbBackend, DbErr, Statement};
use tokio::time::{Instant, sleep};

use super::{
    connect::Connector,
    connection::Connection,
    deadline::answer_by,
    fault::{db_error, is_timeout},
    health::Health,
    pool::Pool,
    steps::Steps,
};

/// How long to wait between checks.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long to wait after one that failed.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_millis(1_500);

/// How many must fail in a row before the database counts as failing: a session may be ended for many reasons.
const MAX_FAILURES: u32 = 3;
/// What a trial commit writes: a claim that no tenant can make, and nothing to the other tables that every change writes.
const TRIAL: &str = "SET LOCAL lock_timeout = 500; \
    INSERT INTO idempotent (tenant_id, request_id, resource_type, resource_id, created_at) \
    VALUES ('', 'trial', '', '00000000-0000-0000-0000-000000000000', now()) ON CONFLICT DO NOTHING; \
    DELETE FROM idempotent WHERE tenant_id = ''; \
    INSERT INTO audit_logs SELECT * FROM audit_logs WHERE false; \
    INSERT INTO audit_queue SELECT * FROM audit_queue WHERE false; DELETE FROM outbox WHERE false";

/// Checks until it is aborted. Where its own connection is lost, those in `pools` are retired; where it got no answer and a
/// fresh one does, they are discarded.
pub(super) async fn run(connector: Connector, pools: [Pool; 2], health: Arc<Health>) {
    let (mut connection, mut unanswered, mut failures) = (None, None, 0);
    loop {
        let had_connection = connection.is_some();
        match check(&connector, &mut connection, &health).await {
            Ok(()) => {
                failures = 0;
                if let Some(generations) = unanswered.take() {
                    pools.iter().zip::<[u64; 2]>(generations).for_each(|(pool, generation)| pool.discard(generation));
                }
            }
            Err(error) => {
                tracing::debug!(%error, in_vain = failures, "the database was looked at in vain");
                failures += 1;
                if had_connection {
                    let generations = pools.each_ref().map(Pool::retire_all);
                    unanswered = is_timeout(&error).then_some(generations);
                }
                if failures < MAX_FAILURES {
                    // On a fresh connection: it may have been this one alone.
                    sleep(RETRY_INTERVAL).await;
                    continue;
                }
                health.reads_fail("the database does not answer");
                health.writes_fail("the database does not answer");
            }
        }
        sleep(INTERVAL).await;
    }
}

async fn check(connector: &Connector, kept: &mut Option<Connection>, health: &Health) -> Result<(), DbErr> {
    let until = Instant::now() + TIMEOUT;
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => answer_by(until, connector.connect()).await.map_err(db_error)?,
    };
    let statement = Statement::from_string(DbBackend::Postgres, "SELECT current_setting('transaction_read_only')");
    connection.begin("BEGIN", until, &Steps::default()).await?;
    let rows = connection.query(&statement, until).await?;
    connection.commit("COMMIT", until, &Steps::default()).await?;
    let read_only = rows.first().map(|row| row.try_get_by_index::<String>(0)).transpose()?.is_none_or(|it| it == "on");
    health.reads_work();
    if read_only {
        health.writes_fail("the database is read-only");
    } else if health.writes_are_suspect() {
        match trial(&mut connection, until).await {
            Ok(()) => health.trial_succeeded(),
            Err(error) => {
                tracing::debug!(%error, "a trial commit fails");
                health.writes_fail("changes cannot be committed");
                return Ok(());
            }
        }
    }
    *kept = Some(connection);
    Ok(())
}

/// Makes a trial commit.
async fn trial(connection: &mut Connection, until: Instant) -> Result<(), DbErr> {
    connection.begin("BEGIN", until, &Steps::default()).await?;
    connection.execute_text(TRIAL, until).await?;
    connection.commit("COMMIT", until, &Steps::default()).await
}
