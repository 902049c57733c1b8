//! How rows are written: each write leaves its entry in the audit trail, because there is no other way to write.

#![expect(clippy::disallowed_methods, reason = "this is the place where rows are written")]

use std::sync::PoisonError;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ActiveModelTrait, ColumnTrait, IntoActiveModel, QueryFilter};

use super::Change;
use crate::{
    audit::{Audited, Entry, entry::Deed},
    error::Result,
};

/// How many rows a statement deletes: databases bound the number of parameters.
const ROWS: usize = 500;

impl Change<'_> {
    /// Stores a new row.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn insert<E: Audited>(&self, row: E::Model) -> Result<E::Model> {
        E::insert(row.clone().into_active_model()).exec_without_returning(self.db()).await?;
        self.did(Deed::created::<E>(&row))?;
        Ok(row)
    }

    /// Stores what became of the row `before`, which is locked: with a later `updatedAt`, unless nothing changed.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn update<E: Audited>(&self, mut before: E::Model, mut row: E::Model) -> Result<E::Model> {
        if row == before {
            let seen = self.app.reading::<E>(&self.intent.agent, self.intent.sight, std::slice::from_ref(&row));
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).extend(seen);
            return Ok(row);
        }
        *E::updated_at(&mut row) = self.after(*E::updated_at(&mut before));
        let row = row.into_active_model().reset_all().update(self.db()).await?;
        self.did(Deed::updated::<E>(&before, &row))?;
        Ok(row)
    }

    /// Deletes rows, which are locked.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn delete<E: Audited>(&self, rows: &[E::Model]) -> Result<()> {
        for rows in rows.chunks(ROWS) {
            let these = E::ID.is_in(rows.iter().map(E::id));
            E::delete_of(self.tenant()).filter(these).exec(self.db()).await?;
        }
        rows.iter().try_for_each(|row| self.did(Deed::deleted::<E>(row)))
    }

    /// The instant for `updatedAt` of a row last changed at `before`: now, and always later than before.
    fn after(&self, before: DateTime<Utc>) -> DateTime<Utc> {
        self.now().0.max(before + TimeDelta::milliseconds(1))
    }

    fn did(&self, deed: Deed) -> Result<()> {
        let entry = Entry::new(self.app, &self.intent.agent, deed)?;
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        Ok(())
    }
}
