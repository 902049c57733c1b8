//! An open change, through which stores read and write.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use sea_orm::{
    ColumnTrait, QueryFilter, QuerySelect, QueryTrait,
    sea_query::{IntoCondition, LockType},
};
use uuid::Uuid;

use super::intent::Intent;
use crate::{
    audit::AuditEntry,
    database::{
        Transaction,
        tenancy::{Listed, Tenanted},
    },
    error::{Error, Result},
    events::event::NewEvent,
    pii::{PiiCipher, PiiLocation},
    resource::{Kind, OfCustomer, Resource, entity_tag},
    timeline,
    values::{Currency, IdSource, Tenant, Timestamp},
};

/// An open change: the only way to write rows.
pub struct Change<'t> {
    pub(super) transaction: &'t Transaction,
    pub(super) intent: &'t Intent,
    pub(super) cipher: &'t PiiCipher,
    pub(super) ids: &'t IdSource,
    pub(super) default_currency: &'t Currency,
    pub(super) removals: &'t [Removal],
    pub(super) now: Timestamp,
    /// When the time begins for which its claim is kept.
    pub(super) kept_from: DateTime<Utc>,
    /// Audit entries about what was done so far.
    pub(super) entries: Vec<AuditEntry>,
    /// Events about what was done so far.
    pub(super) events: Vec<NewEvent>,
    /// What was done so far, in timelines of customers.
    pub(super) timeline: Vec<timeline::Model>,
    /// Whether a row was marked as deleted, and is to be removed.
    pub(super) marked: bool,
    /// Whether what goes with the deleted resource of the change is removed.
    pub(super) removes: bool,
    /// Audit entries about personal data that was seen unmasked without being changed.
    pub(super) readings: Vec<AuditEntry>,
}

/// How the rows of a type of resource are removed, by themselves or with what they refer to.
#[derive(Clone, Copy)]
pub struct Removal {
    /// The type of the resource.
    pub(super) kind: Kind,
    /// Deletes or clears at most so many rows that refer to the deleted resource of the change.
    pub(super) follow: for<'c, 't> fn(&'c mut Change<'t>, u64) -> BoxFuture<'c, Result<RemovalStep>>,
    /// Removes the row of the deleted resource of the change.
    pub(super) finish: for<'c, 't> fn(&'c mut Change<'t>) -> BoxFuture<'c, Result<()>>,
}

/// What a step of a removal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovalStep {
    /// It deleted or cleared rows; there may be more.
    Removed,
    /// It did nothing: rows that were deleted before, by themselves, go first.
    Waiting,
    /// It did nothing: another process removes it, or has just done so.
    Elsewhere,
    /// Nothing is left to do.
    Done,
}

impl<'t> Change<'t> {
    /// The transaction to read and write in.
    #[must_use]
    pub fn db(&self) -> &'t Transaction {
        self.transaction
    }

    /// The tenant whose data is changed.
    #[must_use]
    pub fn tenant(&self) -> &'t Tenant {
        &self.intent.actor.tenant
    }

    /// The cipher for personal data.
    #[must_use]
    pub fn cipher(&self) -> &'t PiiCipher {
        self.cipher
    }

    /// The location of the changed resource, which its encrypted personal data is bound to.
    #[must_use]
    pub fn location(&self) -> PiiLocation<'t> {
        PiiLocation { tenant: self.tenant().as_str(), id: self.id() }
    }

    /// The id of the resource that is created, changed or deleted.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.intent.resource.1
    }

    /// The currency of opportunities that specify none.
    #[must_use]
    pub fn default_currency(&self) -> &'t Currency {
        self.default_currency
    }

    /// The time of the change.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The tenant's row with this id, if any, locked until the change ends: against deletion (`KeyShare`), or against
    /// all changes (`Update`). Locks are taken from the customer down to its follow-ups, so that changes cannot
    /// deadlock.
    ///
    /// # Errors
    /// A database error.
    pub async fn lock<E: Resource>(&self, id: Uuid, lock: LockType) -> Result<Option<E::Model>> {
        let row = E::one(self.tenant(), id);
        // A change that waited for the lock sees what is in the row itself, but not what else was committed meanwhile.
        let row = row.apply_if(E::DELETED_AT, |row, deleted_at| row.filter(deleted_at.is_null()));
        Ok(self.db().lock((self.tenant(), id), row, lock).await?)
    }

    /// The row of the changed resource, locked for update, in a version that the caller expects.
    ///
    /// # Errors
    /// [`Error::not_found`], [`Error::precondition_failed`], or a database error.
    pub async fn lock_own<E: Resource>(&self) -> Result<E::Model> {
        self.expected::<E>(self.lock::<E>(self.id(), LockType::Update).await?)
    }

    /// The row of the changed resource, without a lock, for a change that must look into it to know what else to lock. What
    /// holds of it is judged again once it is locked.
    ///
    /// # Errors
    /// As for [`Self::lock_own`].
    pub async fn read_own<E: Resource>(&self) -> Result<E::Model> {
        self.expected::<E>(E::one(self.tenant(), self.id()).all(self.db()).await?.pop())
    }

    /// The row, if it is there and the caller wants to change this version of it.
    fn expected<E: Resource>(&self, row: Option<E::Model>) -> Result<E::Model> {
        let mut row = row.ok_or_else(Error::not_found)?;
        let tag = entity_tag::<E>(&mut row, self.intent.visibility);
        match self.intent.only_if.allows(tag.version) {
            true => Ok(row),
            false => Err(Error::precondition_failed(tag.to_string())),
        }
    }

    /// The same, after its customer, a row of `C`, was locked with `lock`: locks are taken from the customer down.
    ///
    /// # Errors
    /// As for [`Self::lock_own`].
    pub async fn lock_own_below<C: Resource, E: OfCustomer>(&self, lock: LockType) -> Result<E::Model> {
        let customer = self.customer_of::<E>(self.id()).await?.ok_or_else(Error::not_found)?;
        self.lock::<C>(customer, lock).await?;
        self.lock_own::<E>().await
    }

    /// The row that a field references, locked.
    ///
    /// # Errors
    /// [`Error::bad_reference`] if the tenant has no such row, or a database error.
    pub async fn lock_referenced<E: Resource>(&self, field: &str, id: Uuid, lock: LockType) -> Result<E::Model> {
        self.lock::<E>(id, lock).await?.ok_or_else(|| Error::bad_reference(field))
    }

    /// The tenant's row that matches, if any, locked for update. There must be at most one.
    ///
    /// # Errors
    /// A database error.
    pub async fn lock_matching<E: Resource>(&self, which: impl IntoCondition) -> Result<Option<E::Model>> {
        let row = E::of(self.tenant()).filter(which.into_condition());
        Ok(row.lock(LockType::Update).all(self.db()).await?.pop())
    }

    /// The customer that a resource belongs to, if the resource exists and has one. Takes no lock.
    ///
    /// # Errors
    /// A database error.
    pub async fn customer_of<E: OfCustomer>(&self, id: Uuid) -> Result<Option<Uuid>> {
        let customer = E::one(self.tenant(), id).select_only().column(E::CUSTOMER);
        Ok(customer.into_tuple::<Option<Uuid>>().all(self.db()).await?.pop().flatten())
    }
}
