//! A standby beside its primary, looked at once and by connections of its own: for operators.

use std::time::Duration;

use sea_orm::DbErr;
use tokio::time::{Instant, sleep};

use super::{
    facts::{ANSWER, Facts},
    samples::MAX_LAG,
};
use crate::{
    config::{Config, DatabaseUrl, Pooler, Secret},
    database::{connect::Connector, deadline::timed_out, fault::db_error},
};

/// How long to wait before the standby is asked again.
const ASKED_AGAIN: Duration = Duration::from_millis(50);

/// How a standby follows its primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// How many bytes of the primary's log it had not replayed when both were asked.
    pub missing: u64,
    /// How long it took to have them; `None` where it is too far behind to be read.
    pub caught_up_after: Option<Duration>,
}

/// Looks at the standby that is configured, if one is. Each server may take as long as `patience` to answer.
///
/// # Errors
/// Why it is not read, in a sentence for operators.
pub async fn look(config: &Config, patience: Duration) -> Option<Result<Followed, String>> {
    match (&config.database_url, &config.database_read_url) {
        (DatabaseUrl::Postgres(primary), Some(DatabaseUrl::Postgres(standby))) => {
            Some(compare((primary, config.database_pooler), standby, patience).await)
        }
        _ => None,
    }
}

async fn compare(
    (primary, pooler): (&Secret, Pooler),
    standby: &Secret,
    patience: Duration,
) -> Result<Followed, String> {
    let asked = ask(primary, pooler, patience).await;
    let primary = asked.map_err(|error| format!("the primary does not answer: {error}"))?;
    let began = Instant::now();
    let mut first_missing = None;
    loop {
        let asked = ask(standby, Pooler::None, patience).await;
        let standby = asked.map_err(|error| format!("it does not answer: {error}"))?;
        standby.follows(primary.identity)?;
        let behind = primary.position.beyond(standby.position);
        let missing = *first_missing.get_or_insert(behind);
        match behind {
            0 => return Ok(Followed { missing, caught_up_after: Some(began.elapsed()) }),
            _ if began.elapsed() >= MAX_LAG => return Ok(Followed { missing, caught_up_after: None }),
            _ => sleep(ASKED_AGAIN).await,
        }
    }
}

async fn ask(url: &Secret, pooler: Pooler, patience: Duration) -> Result<Facts, DbErr> {
    let connector = Connector::postgres(url, pooler, patience, true).map_err(db_error)?;
    let asked = async {
        let mut connection = connector.connect().await.map_err(db_error)?;
        let facts = Facts::ask(&mut connection, Instant::now() + ANSWER).await;
        let _closed = connection.close().await;
        facts
    };
    match tokio::time::timeout(patience, asked).await {
        Ok(asked) => asked,
        Err(_) => Err(db_error(timed_out())),
    }
}
