//! The one database: SQLite in this process or PostgreSQL, behind the same two doors.
//!
//! Reads take [`Database::read`]. Every write goes through [`Database::transact`] ([`door`]), and nothing but
//! [`crate::change`] calls it. [`connect`] knows the pragmas, [`migrate`] the schema, [`tenancy`] how a query stays within
//! its tenant, [`read`] how a row and a page are read.

mod connect;
mod door;
mod health;
pub mod migrate;
pub mod reach;
pub mod read;
pub mod tenancy;
mod wait;

use std::sync::Arc;

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr};

pub use health::{Cause, Health};

use door::{Door, Work};

use crate::{config::DatabaseUrl, error::Result};

/// The database of the service.
pub struct Database {
    read: DatabaseConnection,
    door: Door,
    health: Arc<Health>,
}

impl Database {
    /// Connects. The schema must be up to date: see [`migrate`].
    ///
    /// # Errors
    /// A database that cannot be reached or opened.
    pub async fn open(url: &DatabaseUrl) -> std::result::Result<Self, DbErr> {
        match url {
            DatabaseUrl::Sqlite(file) => {
                let writer = connect::sqlite_writer(file).await?;
                let read = connect::sqlite_readers(file).await?;
                Ok(Self { read, door: Door::one_writer(writer), health: Arc::default() })
            }
            DatabaseUrl::Postgres(url) => {
                let writers = connect::postgres_writers(url).await?;
                let read = connect::postgres_readers(url).await?;
                Ok(Self { read, door: Door::pool(writers), health: Arc::default() })
            }
        }
    }

    /// What is known of the database.
    #[must_use]
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Where to read: never sees half a change, and cannot write.
    #[must_use]
    pub fn read(&self) -> &DatabaseConnection {
        &self.read
    }

    /// Runs `work` in a transaction: either it returned `Ok` and is committed and safe on disk, or nothing of it is.
    /// Goes on to its end even if the caller stops waiting. After contention on PostgreSQL it is run again from the start.
    ///
    /// # Errors
    /// What `work` returned, or a failure to commit.
    pub(crate) async fn transact<T: Send + 'static>(&self, work: impl Work<T>) -> Result<T> {
        self.door.transact(work).await
    }

    /// Finishes the waiting changes and closes all connections.
    ///
    /// # Errors
    /// A fault while closing.
    pub async fn close(&self) -> std::result::Result<(), DbErr> {
        self.door.close().await?;
        self.read.clone().close().await
    }
}

/// Removes from the database's files what changed and deleted rows left behind. Others may go on reading; on SQLite,
/// writers wait.
///
/// # Errors
/// A fault of the database.
pub async fn clean(url: &DatabaseUrl) -> std::result::Result<(), DbErr> {
    let connection = match url {
        DatabaseUrl::Sqlite(file) => connect::sqlite_writer(file).await?,
        DatabaseUrl::Postgres(url) => connect::postgres_session(url).await?,
    };
    connection.execute_unprepared("VACUUM").await?;
    if let DatabaseUrl::Sqlite(_) = url {
        connection.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await?;
    }
    connection.close().await
}

/// The transaction that a piece of work runs in.
pub type Transaction = DatabaseTransaction;
