//! Looks each second, on a connection of its own, whether PostgreSQL can be read and written.

use std::{sync::Arc, time::Duration};

use sea_orm::{DbBackend, DbErr, Statement};
use tokio::time::{Instant, sleep};

use super::{
    connect::Target,
    connection::Connection,
    deadline::answer,
    fault::{self, failed},
    health::Health,
    pool::Pool,
    steps::Steps,
};

/// How often to look.
const PAUSE: Duration = Duration::from_secs(1);
/// How long to wait before a look that follows one in vain.
const SOON: Duration = Duration::from_millis(200);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// How many looks in vain it takes to say so: a session may be ended for many reasons.
const IN_VAIN: u32 = 3;
/// What a trial commit writes: a claim that no tenant can make, and nothing, to each table that every change is told in.
const TRIAL: &str = "SET LOCAL lock_timeout = 500; \
    INSERT INTO idempotent (tenant_id, request_id, resource_type, resource_id, created_at) \
    VALUES ('', 'trial', '', '00000000-0000-0000-0000-000000000000', now()) ON CONFLICT DO NOTHING; \
    DELETE FROM idempotent WHERE tenant_id = ''; \
    DELETE FROM audit_logs WHERE false; DELETE FROM audit_queue WHERE false; DELETE FROM outbox WHERE false";

/// Looks until it is aborted. Where its own connection is lost, those in `pools` are suspects too; where it was not answered
/// and a fresh one is, they are given up.
pub(super) async fn run(target: Target, pools: [Pool; 2], health: Arc<Health>) {
    let (mut connection, mut unanswered, mut in_vain) = (None, None, 0);
    loop {
        let had_connection = connection.is_some();
        match look(&target, &mut connection, &health).await {
            Ok(()) => {
                in_vain = 0;
                if let Some(generations) = unanswered.take() {
                    pools.iter().zip::<[u64; 2]>(generations).for_each(|(pool, generation)| pool.bury(generation));
                }
            }
            Err(error) => {
                tracing::debug!(%error, in_vain, "the database was looked at in vain");
                in_vain += 1;
                if had_connection {
                    let suspects = pools.each_ref().map(Pool::suspect_all);
                    unanswered = fault::is_time_out(&error).then_some(suspects);
                }
                if in_vain < IN_VAIN {
                    // Soon, on a fresh connection: it may have been this one alone.
                    sleep(SOON).await;
                    continue;
                }
                health.reads_fail("the database does not answer");
                health.writes_fail("the database does not answer");
            }
        }
        sleep(PAUSE).await;
    }
}

async fn look(target: &Target, kept: &mut Option<Connection>, health: &Health) -> Result<(), DbErr> {
    let until = Instant::now() + PATIENCE;
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => answer(until, target.connect()).await.map_err(failed)?,
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
            Ok(()) => health.trial_works(),
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

/// Commits something that means nothing.
async fn trial(connection: &mut Connection, until: Instant) -> Result<(), DbErr> {
    connection.begin("BEGIN", until, &Steps::default()).await?;
    connection.execute_text(TRIAL, until).await?;
    connection.commit("COMMIT", until, &Steps::default()).await
}
