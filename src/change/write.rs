//! Writing rows. Each write leaves an entry in the audit trail and its events in the outbox, because there is no other
//! way to write.

#![expect(clippy::disallowed_methods, reason = "this is the place where rows are written")]

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, IdenStatic, IntoActiveModel, Iterable, ModelTrait, QueryFilter, QueryTrait, Value,
};

use super::open::Change;
use crate::{
    audit::{AuditEntry, AuditedAction, reading::reading},
    auth::Actor,
    database::{RowUpdate, Rows, search::document, tenancy::Tenanted},
    error::Result,
    events::event::NewEvent,
    resource::{Action, Published, deletion},
    timeline::items,
    values::normal_form::sort_key,
};

/// Number of rows per DELETE: databases limit the number of parameters.
const ROWS: usize = 500;

impl Change<'_> {
    /// Inserts a row, at the end of the transaction.
    ///
    /// # Errors
    /// None in practice: a row can always be sorted.
    pub fn insert<E: Published>(&mut self, mut row: E::Model) -> Result<E::Model> {
        let actions = E::actions(None, Some(&row));
        *E::version(&mut row) = actions.len() as i64;
        put_sort_key::<E>(&mut row)?;
        self.db().insert_at_end(document::insertion(self.tenant(), (E::KIND.name, E::id(&row)), E::text(&row)));
        self.changes_rows::<E>([&row]);
        self.db().insert_at_end(Rows::of([row.clone().into_active_model()]));
        self.keeps::<E>(&row);
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
        let stored = self.store::<E>(&before, &row).await?;
        self.keeps::<E>(&stored);
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
            self.changes_rows::<E>(rows);
            let delete = E::delete_of(self.tenant()).filter(these);
            self.db().change(delete.build(self.db().get_database_backend()), None).await?;
        }
        rows.iter_mut().try_for_each(|row| {
            let version = *E::version(row);
            self.record::<E>(AuditedAction::deleted::<E>(row), row, &[Action::Deleted], version)
        })
    }

    /// Deletes the resource of the change, whose row is locked. If others may refer to it, its row is only marked: it is hidden
    /// from now on, with all that goes with it, and removed in steps.
    ///
    /// # Errors
    /// A database error.
    pub async fn delete_own<E: Published>(&mut self, mut row: E::Model) -> Result<()> {
        let Some(deleted_at) = E::DELETED_AT else { return self.delete::<E>(vec![row]).await };
        let version = *E::version(&mut row);
        self.record::<E>(AuditedAction::deleted::<E>(&row), &row, &[Action::Deleted], version)?;
        let mut marked = row.clone();
        E::vacate(&mut marked);
        *E::version(&mut marked) = version + 1;
        marked.try_set(deleted_at, Some(self.now.0).into())?;
        self.store::<E>(&row, &marked).await?;
        // What goes with it is hidden.
        self.db().changes_any_row(self.tenant());

        let (kind, id) = self.intent.resource;
        let Actor { tenant, name, client, request_id, trace_id } = self.intent.actor.clone();
        let deletion = deletion::Model {
            tenant_id: tenant.as_str().to_owned(),
            resource_id: id,
            resource_type: kind.name.to_owned(),
            deleted_at: self.now.0,
            actor: name,
            client,
            request_id,
            trace_id,
        };
        self.db().insert_at_end(Rows::of([deletion.into_active_model()]));
        self.marked = true;
        Ok(())
    }

    /// Removes the marked row of the change's resource, which nothing refers to any more.
    ///
    /// # Errors
    /// A database error.
    pub(super) async fn delete_marked<E: Published>(&mut self) -> Result<()> {
        let marked = E::DELETED_AT.map(|deleted_at| deleted_at.is_not_null());
        self.db().changes_rows(self.tenant(), [self.id()]);
        let row = E::delete_of(self.tenant()).filter(E::ID.eq(self.id()));
        marked.into_iter().fold(row, QueryFilter::filter).exec(self.db()).await?;
        Ok(())
    }

    /// Writes what differs between two versions of a row. A reference to what is deleted is not in the version that was
    /// read: it is left to the steps that clear it, unless another reference changes, whose constraints include it.
    ///
    /// What the row is sorted and searched by is written with it: the row as it is stored.
    pub(super) async fn store<E: Published>(&self, before: &E::Model, row: &E::Model) -> Result<E::Model> {
        let mut stored = row.clone();
        put_sort_key::<E>(&mut stored)?;
        let row = &stored;
        let is_same = |column: &E::Column| before.get(*column) == row.get(*column);
        let refers_to_others = !E::REFERENCES.iter().all(|reference| is_same(&reference.column));
        let is_reference =
            |column: &E::Column| E::REFERENCES.iter().any(|known| known.column.as_str() == column.as_str());
        let changed = E::Column::iter().filter(|column| !is_same(column) || refers_to_others && is_reference(column));
        let set = changed.map(|column| (column.as_str(), row.get(column))).collect();
        let resource = (E::KIND.name, E::id(row));
        let is_other_text = E::text(before) != E::text(row);
        let [old, new] = [before, row].map(|row| *E::version(&mut row.clone()));
        let texts = [E::text(before), E::text(row)];
        let is_revised =
            is_other_text && new > old && document::revise(self.db(), self.tenant(), resource, texts, new).await?;
        self.changes_rows::<E>([before, row]);
        let which = vec![(E::TENANT.as_str(), self.tenant().as_str().into()), (E::ID.as_str(), E::id(row).into())];
        self.db().update(RowUpdate::of::<E>(set, which), Some(1)).await?;
        if is_other_text && !is_revised {
            document::insert_where_none_is(self.db(), self.tenant(), resource, E::text(row)).await?;
        }
        Ok(stored)
    }

    /// The next statement changes these rows; triggers may note it in those that they refer to.
    fn changes_rows<'r, E: Published>(&self, rows: impl IntoIterator<Item = &'r E::Model>) {
        let rows: Vec<&E::Model> = rows.into_iter().collect();
        let referred = rows.iter().flat_map(|row| E::REFERENCES.iter().map(|reference| row.get(reference.column)));
        let referred = referred.filter_map(|value| if let Value::Uuid(id) = value { id } else { None });
        self.db().changes_rows(self.tenant(), rows.iter().map(|row| E::id(row)).chain(referred));
    }

    /// The row is as it is here, once it is committed.
    fn keeps<E: Published>(&self, row: &E::Model) {
        if E::IS_STORED_AS_WRITTEN {
            self.db().keeps::<E>(self.tenant(), E::id(row), row);
        }
    }

    /// The new `updatedAt` of a row last changed at `before`: now, but always later than `before`.
    pub(super) fn after(&self, before: DateTime<Utc>) -> DateTime<Utc> {
        self.now.0.max(before + TimeDelta::milliseconds(1))
    }

    /// Records what was done, to be written at the end of the change. `version` is that of the row's last event.
    pub(super) fn record<E: Published>(
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
        let entry = AuditEntry::new(self.ids, actor, done)?;
        let owner = match row.get(E::OWNER) {
            Value::Uuid(owner) => owner,
            _ => None,
        };
        // The timeline of a customer goes with it: what goes along is not told there.
        let gone = self.removes.then_some(self.id());
        self.timeline.extend(items(entry.parts(), owner).into_iter().filter(|item| Some(item.customer_id) != gone));
        self.entries.push(entry);
        Ok(())
    }
}

/// Puts into a row what it is sorted by.
fn put_sort_key<E: Published>(row: &mut E::Model) -> Result<()> {
    let Some(column) = E::TEXT_SORT else { return Ok(()) };
    let key = sort_key(E::text(row));
    Ok(row.try_set(column, key.into())?)
}
