//! Copying all data between SQLite and PostgreSQL: `crm copy`.
//!
//! Nothing is written to the source, and nobody else may write to it meanwhile: it is locked for as long as the process lives.
//! The target gets the schema, and the rows of one table after the other, in the order of their keys; each transaction also
//! writes how far it is, so that a copy that was interrupted goes on. Triggers are off meanwhile: what they keep is copied too.
//! Then all rows are read again, from both, and compared. Until that is done, nothing else works on the target
//! ([`crate::database::migrate::check`]).
//!
//! Reading order: [`tables`] what there is to copy · [`rows`] reading, writing and comparing rows · [`state`] how far it is ·
//! [`source`], [`target`] what is done before and after.

mod error;
mod rows;
mod source;
mod state;
mod tables;
mod target;

use std::time::Duration;

use sea_orm::{DatabaseConnection, DatabaseTransaction, TransactionTrait};

pub use self::error::CopyError;
use self::{
    rows::{Row, key_of},
    state::{Key, Progress},
    tables::Table,
};
use super::{connect, migrate, reach::reach};
use crate::config::DatabaseUrl;

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many rows were copied, or compared.
    Rows(u64),
    /// There are no more.
    Done,
}

/// A copy under way.
pub struct Copy {
    /// Holds the lock.
    source: DatabaseTransaction,
    target: DatabaseConnection,
    tables: Vec<Table>,
    /// How far copying is, and then how far comparing is.
    copied: Progress,
    compared: Progress,
    rows: u64,
}

impl Copy {
    /// Locks the source, which must have today's schema, and prepares the target. An incomplete copy goes on where it was,
    /// unless it is to be restarted.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub async fn begin(
        from: &DatabaseUrl,
        to: &DatabaseUrl,
        is_restarted: bool,
        wait: Duration,
    ) -> Result<Self, CopyError> {
        if matches!(from, DatabaseUrl::Sqlite(_)) == matches!(to, DatabaseUrl::Sqlite(_)) {
            return Err(CopyError::SameKind);
        }
        if let DatabaseUrl::Sqlite(file) = from
            && !file.exists()
        {
            return Err(CopyError::Source(format!("there is no file {}", file.display())));
        }
        reach(from, wait).await?;
        migrate::check(from).await?;
        let source = source::lock(connect::session_of(from).await?).await?;
        let target = target::open(to, is_restarted, wait).await?;
        let tables = tables::of(&source, &target).await?;
        let (mut rows, mut copied) = (0, state::progress(&target).await?);
        for table in &tables {
            rows += rows::count(&source, &table.read_from).await?;
        }
        if copied.is_none() {
            target::prepare(&target, &tables).await?;
            copied = state::progress(&target).await?;
        }
        let copied = copied.unwrap_or_default();
        Ok(Self { source, target, tables, copied, compared: Progress::default(), rows })
    }

    /// How many rows there are to copy.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many of them are copied.
    #[must_use]
    pub fn copied(&self) -> u64 {
        self.copied.rows
    }

    /// Copies some rows.
    ///
    /// # Errors
    /// A fault of one of the databases.
    pub async fn step(&mut self) -> Result<Step, CopyError> {
        let Some(table) = self.tables.get(self.copied.table) else { return Ok(Step::Done) };
        let batch = rows::after(&self.source, table, self.copied.after.as_ref()).await?;
        let count = batch.len() as u64;
        let next = advance(&self.copied, table, &batch);
        let transaction = self.target.begin().await?;
        rows::insert(&transaction, table, batch).await?;
        state::remember(&transaction, &next).await?;
        transaction.commit().await?;
        self.copied = next;
        Ok(Step::Rows(count))
    }

    /// Compares some rows of the source with the target's.
    ///
    /// # Errors
    /// A difference, or a fault of one of the databases.
    pub async fn compare(&mut self) -> Result<Step, CopyError> {
        let Some(table) = self.tables.get(self.compared.table) else { return Ok(Step::Done) };
        if self.compared.after.is_none() {
            let (here, there) =
                (rows::count(&self.source, &table.read_from).await?, rows::count(&self.target, &table.name).await?);
            if here != there {
                return Err(CopyError::Differs(format!("{} has {here} rows, and the copy has {there}", table.name)));
            }
        }
        let batch = rows::after(&self.source, table, self.compared.after.as_ref()).await?;
        if let Some(key) = rows::first_difference(&self.target, table, &batch).await? {
            return Err(CopyError::Differs(format!("{}: the row {key} is not the one that was copied", table.name)));
        }
        let count = batch.len() as u64;
        self.compared = advance(&self.compared, table, &batch);
        Ok(Step::Rows(count))
    }

    /// Completes the target, once all rows are copied and compared: from now on the service can work on it.
    ///
    /// # Errors
    /// A reference that leads nowhere, or a fault of one of the databases.
    pub async fn finish(self) -> Result<(), CopyError> {
        let Self { source, target, tables, .. } = self;
        target::continue_numbers(&source, &target, &tables).await?;
        target::complete(&target, &tables).await?;
        source.rollback().await?;
        Ok(target.close().await?)
    }
}

/// Where to go on after these rows of a table.
fn advance(progress: &Progress, table: &Table, batch: &[Row]) -> Progress {
    let rows = progress.rows + batch.len() as u64;
    match batch.last() {
        Some(last) if batch.len() == table.batch() => {
            Progress { table: progress.table, after: Some(key_of(table, last)), rows }
        }
        _ => Progress { table: progress.table + 1, after: None::<Key>, rows },
    }
}
