//! How rows are written: each write leaves its entry in the audit trail and its events in the outbox, because there is no
//! other way to write.

#![expect(clippy::disallowed_methods, reason = "this is the place where rows are written")]

use std::sync::PoisonError;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ActiveModelTrait, ColumnTrait, IntoActiveModel, QueryFilter};

use super::Change;
use crate::{
    audit::{Entry, entry::Deed},
    error::Result,
    events::{Action, Evented, event::Event},
};

/// How many rows a statement deletes: databases bound the number of parameters.
const ROWS: usize = 500;

impl Change<'_> {
    /// Stores a new row.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn insert<E: Evented>(&self, mut row: E::Model) -> Result<E::Model> {
        let actions = E::actions(None, Some(&row));
        *E::version(&mut row) = actions.len() as i64;
        E::insert(row.clone().into_active_model()).exec_without_returning(self.db()).await?;
        self.did::<E>(Deed::created::<E>(&row), &row, &actions, 0)?;
        Ok(row)
    }

    /// Stores what became of the row `before`, which is locked: with a later `updatedAt`, unless nothing changed.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn update<E: Evented>(&self, mut before: E::Model, mut row: E::Model) -> Result<E::Model> {
        if row == before {
            let seen = self.app.reading::<E>(&self.intent.agent, self.intent.sight, std::slice::from_ref(&row));
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).extend(seen);
            return Ok(row);
        }
        let actions = E::actions(Some(&before), Some(&row));
        let version = *E::version(&mut before);
        *E::version(&mut row) = version + actions.len() as i64;
        *E::updated_at(&mut row) = self.after(*E::updated_at(&mut before));
        let row = row.into_active_model().reset_all().update(self.db()).await?;
        self.did::<E>(Deed::updated::<E>(&before, &row), &row, &actions, version)?;
        Ok(row)
    }

    /// Deletes rows, which are locked.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn delete<E: Evented>(&self, mut rows: Vec<E::Model>) -> Result<()> {
        for rows in rows.chunks(ROWS) {
            let these = E::ID.is_in(rows.iter().map(E::id));
            E::delete_of(self.tenant()).filter(these).exec(self.db()).await?;
        }
        rows.iter_mut().try_for_each(|row| {
            let version = *E::version(row);
            self.did::<E>(Deed::deleted::<E>(row), row, &[Action::Deleted], version)
        })
    }

    /// The instant for `updatedAt` of a row last changed at `before`: now, and always later than before.
    fn after(&self, before: DateTime<Utc>) -> DateTime<Utc> {
        self.now().0.max(before + TimeDelta::milliseconds(1))
    }

    /// Keeps what was done, to be written at the end of the change. `version`: that of the last event before.
    fn did<E: Evented>(&self, deed: Deed, row: &E::Model, actions: &[Action], version: i64) -> Result<()> {
        let agent = &self.intent.agent;
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        for (action, version) in actions.iter().zip(version + 1..) {
            events.push(Event::new::<E>(self.app, agent, *action, row, version, &deed.changes)?);
        }
        let entry = Entry::new(self.app, agent, deed)?;
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        Ok(())
    }
}
