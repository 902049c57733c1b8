//! What servers are asked: which database they have, whether they follow another one, and how far they are.

use std::time::Duration;

use sea_orm::{DbBackend, DbErr, QueryResult, Statement};
use tokio::time::Instant;

use crate::database::{connection::Connection, position::Position};

/// How long an answer may take.
pub(super) const ANSWER: Duration = Duration::from_millis(1_500);

/// Which database it is: what a standby has in common with its primary, and with nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    cluster: i64,
    database: i64,
}

/// What a server says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    /// Whether it follows another server.
    pub(super) in_recovery: bool,
    /// What it has replayed, or else what it has made safe on its own disk.
    pub(super) position: Position,
    pub(super) identity: Identity,
}

/// Why a standby is not read, in a sentence for operators.
pub(super) type Cause = &'static str;

/// Nothing here reads a table of the service.
const FACTS: &str = "SELECT pg_is_in_recovery(), (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
     ELSE pg_current_wal_flush_lsn() END - '0/0')::bigint, (SELECT system_identifier FROM pg_control_system()), \
     (SELECT oid::bigint FROM pg_database WHERE datname = current_database())";

/// What a commit that returned has made safe: its record ends here or before. What others have begun since, and is in memory
/// alone, is not sent to a standby yet, so it is not in the way.
const FLUSHED: &str = "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint";

impl Facts {
    /// Asks the server of a connection.
    pub(super) async fn ask(connection: &mut Connection, until: Instant) -> Result<Self, DbErr> {
        let row = one(connection, FACTS, until).await?;
        let position = row.try_get_by_index::<Option<i64>>(1)?.and_then(Position::of_bytes);
        Ok(Self {
            in_recovery: row.try_get_by_index(0)?,
            position: position.ok_or_else(|| DbErr::Custom("the server has no position".to_owned()))?,
            identity: Identity { cluster: row.try_get_by_index(2)?, database: row.try_get_by_index(3)? },
        })
    }

    /// Whether it is a standby of the primary that has this database.
    pub(super) fn follows(&self, primary: Identity) -> Result<(), Cause> {
        match self.identity == primary {
            false => Err("it has another database than the primary"),
            true if !self.in_recovery => Err("it is no standby"),
            true => Ok(()),
        }
    }
}

/// How far the primary of a connection has come.
pub(super) async fn flushed(connection: &mut Connection, until: Instant) -> Result<Option<Position>, DbErr> {
    Ok(Position::of_bytes(one(connection, FLUSHED, until).await?.try_get_by_index(0)?))
}

async fn one(connection: &mut Connection, sql: &str, until: Instant) -> Result<QueryResult, DbErr> {
    let rows = connection.query(&Statement::from_string(DbBackend::Postgres, sql), until).await?;
    rows.into_iter().next().ok_or_else(|| DbErr::Custom("the server says nothing".to_owned()))
}
