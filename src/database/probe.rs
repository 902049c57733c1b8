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
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks until it is aborted. Where its own connection is lost, those in `pools` are suspects too; where it was not answered
/// and a fresh one is, they are given up.
pub(super) async fn run(target: Target, pools: [Pool; 2], health: Arc<Health>) {
    let (mut connection, mut unanswered) = (None, None);
    loop {
        let had_connection = connection.is_some();
        match look(&target, &mut connection, &health).await {
            Ok(()) => {
                if let Some(generations) = unanswered.take() {
                    pools.iter().zip::<[u64; 2]>(generations).for_each(|(pool, generation)| pool.bury(generation));
                }
            }
            Err(error) if had_connection => {
                tracing::debug!(%error, "a connection of the database is lost");
                let suspects = pools.each_ref().map(Pool::suspect_all);
                unanswered = fault::is_time_out(&error).then_some(suspects);
                // At once on a fresh connection: it may have been this one alone.
                continue;
            }
            Err(error) => {
                tracing::debug!(%error, "the database was looked at in vain");
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
    connection.begin("BEGIN", until, &Steps::default()).await?;
    let statement = Statement::from_string(DbBackend::Postgres, "SELECT current_setting('transaction_read_only')");
    let rows = connection.query(&statement, until).await?;
    let read_only = rows.first().map(|row| row.try_get_by_index::<String>(0)).transpose()?.is_none_or(|it| it == "on");
    health.reads_work();
    if read_only {
        health.writes_fail("the database is read-only");
    } else if health.writes().is_err() {
        // What may be written is written: a message in the log that means nothing, and waits for the disk.
        let message = "SELECT pg_logical_emit_message(true, 'crm', 'a trial commit')::text";
        connection.query(&Statement::from_string(DbBackend::Postgres, message), until).await?;
    }
    connection.commit("COMMIT", until, &Steps::default()).await?;
    if !read_only {
        health.writes_work();
    }
    *kept = Some(connection);
    Ok(())
}
