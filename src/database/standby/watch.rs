//! Watches a standby: twice a second, how far the primary is, and whether the standby follows.

use std::sync::Arc;

use sea_orm::DbErr;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    facts::{ANSWER, Cause, Facts},
    samples::{INTERVAL, MAX_LAG},
    state::{Standby, lock},
};
use crate::database::{party::Party, pool::Pool};

/// Watches a standby, and what the primary behind this pool has, until the task is aborted.
pub(in crate::database) fn watch(standby: &Arc<Standby>, primary: Pool) -> JoinHandle<()> {
    tokio::spawn(run(Arc::clone(standby), primary))
}

async fn run(standby: Arc<Standby>, primary: Pool) {
    loop {
        match ask(&primary).await {
            Ok(facts) if !facts.in_recovery => lock(&standby.samples).add(Instant::now(), facts),
            Ok(_) => tracing::debug!("the primary is a standby"),
            Err(error) => tracing::debug!(%error, "the primary does not say how far it is"),
        }
        match look(&standby).await {
            Ok(()) => standby.works(),
            Err(cause) => standby.fails(cause),
        }
        sleep(INTERVAL).await;
    }
}

/// Asks whoever is behind a pool.
async fn ask(pool: &Pool) -> Result<Facts, DbErr> {
    let until = Instant::now() + ANSWER;
    let mut connection = pool.get(&Party::Service, until).await?;
    Facts::ask(&mut connection, until).await
}

/// Whether the standby can be read.
async fn look(standby: &Standby) -> Result<(), Cause> {
    let facts = ask(&standby.pool).await.map_err(|error| {
        tracing::debug!(%error, "the standby does not say how far it is");
        "it does not answer"
    })?;
    standby.judge(facts)?;
    let (lag, missing) = {
        let (samples, now) = (lock(&standby.samples), Instant::now());
        (samples.lag(now, facts.position), samples.missing(facts.position))
    };
    standby.metrics.show(lag, missing);
    if lag > MAX_LAG { Err("it is too far behind") } else { Ok(()) }
}
