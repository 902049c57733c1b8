//! One accepted write is one transaction: [`Change`].
//!
//! In the transaction, in this order:
//! 1. the request id is claimed in `idempotent` ([`claim`]); a second request with it ends here, with 409;
//! 2. the store changes the rows: write functions take a `&Change`, so they do not compile outside one;
//! 3. what must stand or fall with the change is recorded — the place for the audit entry and the event;
//! 4. it commits. Whatever is refused or fails on the way leaves nothing, not even the claim.

mod claim;
mod idempotent;

use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::{QuerySelect, sea_query::LockType};
use uuid::Uuid;

use crate::{
    app::App,
    database::{Transaction, tenancy::Resource},
    error::Result,
    http::{
        BASE_PATH,
        caller::{Caller, CanWrite},
        request_id::RequestId,
    },
    values::{Currency, Tenant, Timestamp},
};

/// A kind of resource, by the name of its collection: `customers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(pub &'static str);

impl Kind {
    /// The address of a resource of this kind.
    #[must_use]
    pub fn address(self, id: Uuid) -> String {
        address(self.0, id)
    }
}

fn address(collection: &str, id: Uuid) -> String {
    format!("{BASE_PATH}/{collection}/{id}")
}

/// What a caller intends to change.
#[derive(Debug, Clone)]
pub struct Intent {
    caller: Caller<CanWrite>,
    resource: (Kind, Uuid),
    request_id: Option<RequestId>,
}

impl Intent {
    /// A change that takes effect once for its request id: POST and PATCH.
    #[must_use]
    pub fn once(caller: Caller<CanWrite>, request_id: RequestId, kind: Kind, id: Uuid) -> Self {
        Self { caller, resource: (kind, id), request_id: Some(request_id) }
    }

    /// A change that needs no request id, because it cannot be done twice: DELETE.
    #[must_use]
    pub fn unkeyed(caller: Caller<CanWrite>, kind: Kind, id: Uuid) -> Self {
        Self { caller, resource: (kind, id), request_id: None }
    }
}

/// An open change: the only thing through which rows are written.
pub struct Change<'t> {
    transaction: &'t Transaction,
    intent: &'t Intent,
    app: &'t App,
    now: Timestamp,
}

impl Change<'_> {
    /// Where to read and write within the change.
    #[must_use]
    pub fn db(&self) -> &Transaction {
        self.transaction
    }

    /// The tenant whose data is changed.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.intent.caller.tenant
    }

    /// The id of the resource that is changed or made.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.intent.resource.1
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

    /// The currency of an opportunity that names none.
    #[must_use]
    pub fn default_currency(&self) -> &Currency {
        &self.app.config().default_currency
    }

    /// The instant of the change.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The instant for `updatedAt` of a row last changed at `before`: now, and always later than before.
    #[must_use]
    pub fn after(&self, before: chrono::DateTime<chrono::Utc>) -> chrono::DateTime<chrono::Utc> {
        self.now.0.max(before + chrono::TimeDelta::milliseconds(1))
    }
}

impl App {
    /// Carries out `apply` as one change.
    ///
    /// # Errors
    /// 409 where the request id was used before, what `apply` refuses, and faults of the database.
    pub async fn change<T, F>(&self, intent: Intent, apply: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c Change<'c>) -> BoxFuture<'c, Result<T>> + Send + Sync + 'static,
    {
        let app = self.clone();
        let shared = std::sync::Arc::new((app, intent, apply));
        self.database()
            .transact(move |transaction: &Transaction| {
                let shared = std::sync::Arc::clone(&shared);
                async move {
                    let (app, intent, apply) = &*shared;
                    let change = Change { transaction, intent, app, now: app.now() };
                    claim::claim(&change).await?;
                    apply(&change).await
                }
                .boxed()
            })
            .await
    }
}
