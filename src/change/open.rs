//! An open change: what stores read and write through.

use futures_util::future::BoxFuture;
use sea_orm::{
    QueryFilter, QueryOrder, QuerySelect,
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
    resource::{Kind, OfCustomer, Resource},
    values::{Currency, IdSource, Tenant, Timestamp},
};

/// An open change: the only thing through which rows are written.
pub struct Change<'t> {
    pub(super) transaction: &'t Transaction,
    pub(super) intent: &'t Intent,
    pub(super) cipher: &'t PiiCipher,
    pub(super) ids: &'t IdSource,
    pub(super) default_currency: &'t Currency,
    pub(super) cascades: &'t [Cascade],
    pub(super) now: Timestamp,
    /// What was done so far, for the audit trail.
    pub(super) entries: Vec<AuditEntry>,
    /// What is published of it.
    pub(super) events: Vec<NewEvent>,
    /// Personal data that was seen in clear without having been changed, for the audit trail.
    pub(super) readings: Vec<AuditEntry>,
}

/// What becomes of rows that refer to a resource when that is deleted. Declared by the resource whose rows they are, so that the
/// one they refer to need not know it.
#[derive(Clone, Copy)]
pub struct Cascade {
    /// The kind of resource that is deleted.
    pub of: Kind,
    /// Deletes or changes the rows that refer to the resource with this id, which is locked.
    pub apply: for<'c, 't> fn(&'c mut Change<'t>, Uuid) -> BoxFuture<'c, Result<()>>,
}

impl<'t> Change<'t> {
    /// Where to read and write within the change.
    #[must_use]
    pub fn db(&self) -> &'t Transaction {
        self.transaction
    }

    /// The tenant whose data is changed.
    #[must_use]
    pub fn tenant(&self) -> &'t Tenant {
        &self.intent.actor.tenant
    }

    /// What seals and opens personal data.
    #[must_use]
    pub fn cipher(&self) -> &'t PiiCipher {
        self.cipher
    }

    /// The place of the resource that is changed or made, to which its personal data is bound.
    #[must_use]
    pub fn location(&self) -> PiiLocation<'t> {
        PiiLocation { tenant: self.tenant().as_str(), id: self.id() }
    }

    /// The id of the resource that is changed or made.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.intent.resource.1
    }

    /// The currency of an opportunity that names none.
    #[must_use]
    pub fn default_currency(&self) -> &'t Currency {
        self.default_currency
    }

    /// The instant of the change.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The row with this id, if the tenant has it, locked until the change ends: against deletion (`KeyShare`), or against
    /// everything (`Update`). Locks are taken from the customer down to its follow-ups, so that changes never wait for
    /// each other in a circle.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn lock<E: Resource>(&self, id: Uuid, lock: LockType) -> Result<Option<E::Model>> {
        Ok(E::one(self.tenant(), id).lock(lock).all(self.db()).await?.pop())
    }

    /// The row of the resource that is changed, locked against everything.
    ///
    /// # Errors
    /// [`Error::not_found`], or a fault of the database.
    pub async fn lock_own<E: Resource>(&self) -> Result<E::Model> {
        self.lock::<E>(self.id(), LockType::Update).await?.ok_or_else(Error::not_found)
    }

    /// The row that a field refers to, locked.
    ///
    /// # Errors
    /// [`Error::bad_reference`] where the tenant has no such row, or a fault of the database.
    pub async fn lock_referenced<E: Resource>(&self, field: &str, id: Uuid, lock: LockType) -> Result<E::Model> {
        self.lock::<E>(id, lock).await?.ok_or_else(|| Error::bad_reference(field))
    }

    /// All of these rows of the tenant, locked as by [`Self::lock`].
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn lock_all<E: Resource>(&self, which: impl IntoCondition) -> Result<Vec<E::Model>> {
        let rows = E::of(self.tenant()).filter(which.into_condition()).order_by_asc(E::ID);
        Ok(rows.lock(LockType::Update).all(self.db()).await?)
    }

    /// The customer to whom a resource belongs, if the resource exists and has one; nothing is locked.
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn customer_of<E: OfCustomer>(&self, id: Uuid) -> Result<Option<Uuid>> {
        let customer = E::one(self.tenant(), id).select_only().column(E::CUSTOMER);
        Ok(customer.into_tuple::<Option<Uuid>>().all(self.db()).await?.pop().flatten())
    }
}
