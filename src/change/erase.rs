//! Erasing personal data from rows. A row that callers can see is changed like any other: it leaves an entry and an event.
//! One that is deleted, and not removed yet, is only cleared: its last event was about the deletion.

#![expect(clippy::disallowed_methods, reason = "here are cleared the rows that finders hide")]

use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect, Select, sea_query::LockType};
use uuid::Uuid;

use super::open::Change;
use crate::{
    audit::{AuditEntry, AuditedAction},
    auth::Actor,
    database::tenancy::Tenanted,
    error::Result,
    resource::{Erasable, OfCustomer},
};

impl<'t> Change<'t> {
    /// Who makes the change.
    #[must_use]
    pub fn actor(&self) -> &'t Actor {
        &self.intent.actor
    }

    /// Adds an entry to the audit trail, about something that is no change of a row.
    ///
    /// # Errors
    /// None in practice: an entry can always be made.
    pub fn note(&mut self, action: AuditedAction) -> Result<()> {
        self.entries.push(AuditEntry::new(self.ids, &self.intent.actor, action)?);
        Ok(())
    }

    /// Locks the row with this id, if there is one, whether callers can see it or not.
    ///
    /// # Errors
    /// A database error.
    pub async fn lock_stored<E: Erasable>(&self, id: Uuid) -> Result<()> {
        let row = E::stored_of(self.tenant()).filter(E::ID.eq(id)).lock(LockType::Update);
        row.all(self.db()).await.map(drop).map_err(Into::into)
    }

    /// Erases the row with this id, if there is one; one that callers can see also where it holds no personal data.
    ///
    /// # Errors
    /// A database error.
    pub async fn erase_one<E: Erasable>(&mut self, id: Uuid) -> Result<()> {
        if let Some(row) = self.lock::<E>(id, LockType::Update).await? {
            return self.erase_row::<E>(row).await;
        }
        let hidden = E::stored_of(self.tenant()).filter(E::ID.eq(id)).lock(LockType::Update).all(self.db()).await?;
        self.clear_rows::<E>(&hidden).await
    }

    /// Erases at most `limit` of the customer's rows that hold personal data, and returns their ids. The customer must be
    /// locked.
    ///
    /// # Errors
    /// A database error.
    pub async fn erase_of_customer<E: Erasable + OfCustomer>(
        &mut self,
        customer: Uuid,
        limit: u64,
    ) -> Result<Vec<Uuid>> {
        let oldest = |rows: Select<E>| {
            let rows = rows.filter(E::CUSTOMER.eq(customer)).filter(E::unerased());
            rows.order_by_asc(E::CREATED).order_by_asc(E::ID).limit(limit).lock(LockType::Update)
        };
        let seen = oldest(E::of(self.tenant())).all(self.db()).await?;
        if !seen.is_empty() {
            let ids = seen.iter().map(E::id).collect();
            for row in seen {
                self.erase_row::<E>(row).await?;
            }
            return Ok(ids);
        }
        let hidden = oldest(E::stored_of(self.tenant())).all(self.db()).await?;
        self.clear_rows::<E>(&hidden).await?;
        Ok(hidden.iter().map(E::id).collect())
    }

    /// Whether the customer has rows that hold personal data.
    ///
    /// # Errors
    /// A database error.
    pub async fn has_unerased<E: Erasable + OfCustomer>(&self, customer: Uuid) -> Result<bool> {
        let rows = E::stored_of(self.tenant()).filter(E::CUSTOMER.eq(customer)).filter(E::unerased());
        Ok(!rows.limit(1).all(self.db()).await?.is_empty())
    }

    /// Whether the row of the resource of the change, seen or not, holds personal data.
    ///
    /// # Errors
    /// A database error.
    pub async fn is_unerased<E: Erasable>(&self) -> Result<bool> {
        let row = E::stored_of(self.tenant()).filter(E::ID.eq(self.id())).filter(E::unerased());
        Ok(!row.all(self.db()).await?.is_empty())
    }

    /// A new id.
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        self.ids.next()
    }

    async fn erase_row<E: Erasable>(&mut self, mut before: E::Model) -> Result<()> {
        let mut row = before.clone();
        E::erase(&mut row);
        let version = *E::version(&mut before);
        *E::version(&mut row) = version + 1;
        *E::updated_at(&mut row) = self.after(*E::updated_at(&mut before));
        self.store::<E>(&before, &row).await?;
        self.record::<E>(AuditedAction::erased::<E>(&before, &row), &row, &[E::ERASURE], version)
    }

    async fn clear_rows<E: Erasable>(&self, rows: &[E::Model]) -> Result<()> {
        for before in rows {
            let mut row = before.clone();
            E::erase(&mut row);
            if row != *before {
                self.store::<E>(before, &row).await?;
            }
        }
        Ok(())
    }
}
