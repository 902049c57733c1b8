//! Writing rows. Each write leaves an entry in the audit trail and its events in the outbox, because there is no other
//! way to write.

#![expect(clippy::disallowed_methods, reason = "this is the place where rows are written")]

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ActiveModelTrait, ColumnTrait, IntoActiveModel, QueryFilter};
use uuid::Uuid;

use super::open::Change;
use crate::{
    audit::{AuditEntry, AuditedAction, reading::reading},
    database::tenancy::Tenanted,
    error::Result,
    events::event::NewEvent,
    resource::{Action, OfCustomer, Published},
};

/// Number of rows per DELETE: databases limit the number of parameters.
const ROWS: usize = 500;

impl Change<'_> {
    /// Inserts a row.
    ///
    /// # Errors
    /// A database error.
    pub async fn insert<E: Published>(&mut self, mut row: E::Model) -> Result<E::Model> {
        let actions = E::actions(None, Some(&row));
        *E::version(&mut row) = actions.len() as i64;
        E::insert(row.clone().into_active_model()).exec_without_returning(self.db()).await?;
        self.record::<E>(AuditedAction::created::<E>(&row), &row, &actions, 0)?;
        Ok(row)
    }

    /// Updates the locked row `before` to `row`, with a later `updatedAt`, unless nothing changed.
    ///
    /// # Errors
    /// A database error.
    pub async fn update<E: Published>(&mut self, mut before: E::Model, mut row: E::Model) -> Result<E::Model> {
        if row == before {
            let (actor, visibility) = (&self.intent.actor, self.intent.visibility);
            self.readings.extend(reading::<E>(self.ids, actor, visibility, std::slice::from_ref(&row)));
            return Ok(row);
        }
        let actions = E::actions(Some(&before), Some(&row));
        let version = *E::version(&mut before);
        *E::version(&mut row) = version + actions.len() as i64;
        *E::updated_at(&mut row) = self.after(*E::updated_at(&mut before));
        let row = row.into_active_model().reset_all().update(self.db()).await?;
        self.record::<E>(AuditedAction::updated::<E>(&before, &row), &row, &actions, version)?;
        Ok(row)
    }

    /// Deletes locked rows.
    ///
    /// # Errors
    /// A database error.
    pub async fn delete<E: Published>(&mut self, mut rows: Vec<E::Model>) -> Result<()> {
        for rows in rows.chunks(ROWS) {
            let these = E::ID.is_in(rows.iter().map(E::id));
            E::delete_of(self.tenant()).filter(these).exec(self.db()).await?;
        }
        rows.iter_mut().try_for_each(|row| {
            let version = *E::version(row);
            self.record::<E>(AuditedAction::deleted::<E>(row), row, &[Action::Deleted], version)
        })
    }

    /// Deletes the resource of the change, whose row is locked, after deleting or updating the rows that reference it.
    ///
    /// # Errors
    /// A database error.
    pub async fn delete_own<E: Published>(&mut self, row: E::Model) -> Result<()> {
        let (kind, id) = self.intent.resource;
        for cascade in self.cascades.iter().filter(|cascade| cascade.of.name == kind.name) {
            (cascade.apply)(self, id).await?;
        }
        self.delete::<E>(vec![row]).await
    }

    /// Deletes the rows that belong to a customer that is being deleted.
    ///
    /// # Errors
    /// A database error.
    pub async fn delete_of_customer<E: Published + OfCustomer>(&mut self, customer: Uuid) -> Result<()> {
        let rows = self.lock_all::<E>(E::CUSTOMER.eq(customer)).await?;
        self.delete::<E>(rows).await
    }

    /// The new `updatedAt` of a row last changed at `before`: now, but always later than `before`.
    fn after(&self, before: DateTime<Utc>) -> DateTime<Utc> {
        self.now.0.max(before + TimeDelta::milliseconds(1))
    }

    /// Records what was done, to be written at the end of the change. `version` is that of the row's last event.
    fn record<E: Published>(
        &mut self,
        done: AuditedAction,
        row: &E::Model,
        actions: &[Action],
        version: i64,
    ) -> Result<()> {
        let actor = &self.intent.actor;
        for (action, version) in actions.iter().zip(version + 1..) {
            let sources = (self.cipher, self.ids);
            self.events.push(NewEvent::new::<E>(sources, actor, *action, row, version, &done.changes)?);
        }
        self.entries.push(AuditEntry::new(self.ids, actor, done)?);
        Ok(())
    }
}
