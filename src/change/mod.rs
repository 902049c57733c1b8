//! One accepted write is one transaction: [`Change`].
//!
//! In the transaction, in this order:
//! 1. the request id is claimed in `idempotent` ([`claim`]), an event of the platform in `inbox`; a second one with the same
//!    id ends here, with 409;
//! 2. the store changes the rows, by [`Change::insert`], [`Change::update`] and [`Change::delete`] and by nothing else: a lint
//!    forbids the framework's own;
//! 3. what these three did is written into the audit trail ([`crate::audit`]), an entry for each row, and into the outbox
//!    ([`crate::events`]);
//! 4. it commits. Whatever is refused or fails on the way leaves nothing, not even the claim.

mod claim;
mod idempotent;
mod inbox;
mod write;

pub(crate) use claim::purge_claims;

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::{
    EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{IntoCondition, LockType},
};
use uuid::Uuid;

use crate::{
    app::App,
    audit::{Agent, Entry, entry},
    database::{Transaction, tenancy::Resource},
    error::Result,
    events::{event::Event, outbox},
    http::{
        caller::{Caller, CanWrite},
        request_id::RequestId,
        show::Show,
    },
    kind::Kind,
    pii::{Lens, Sight, vault::Row},
    values::{Currency, Tenant, Timestamp},
};

/// What a caller intends to change.
#[derive(Debug, Clone)]
pub struct Intent {
    agent: Agent,
    sight: Sight,
    resource: (Kind, Uuid),
    once: Once,
}

/// What keeps a change from being done twice.
#[derive(Debug, Clone)]
enum Once {
    /// Its nature.
    ByNature,
    /// The id of the request.
    Request(RequestId),
    /// The id of the event that led to it, which is the agent's request id, and who took the event.
    Event { consumer: &'static str, event_type: String },
}

impl Intent {
    /// A change that takes effect once for its request id: POST and PATCH.
    #[must_use]
    pub fn once(caller: Caller<CanWrite>, request_id: RequestId, kind: Kind, id: Uuid) -> Self {
        Self::of(caller, kind, id, Once::Request(request_id))
    }

    /// A change that needs no request id, because it cannot be done twice: DELETE.
    #[must_use]
    pub fn unkeyed(caller: Caller<CanWrite>, kind: Kind, id: Uuid) -> Self {
        Self::of(caller, kind, id, Once::ByNature)
    }

    /// A change that an event of the platform leads to, which takes effect once for the event's id: the agent's request
    /// id. `consumer` took the event.
    #[must_use]
    pub fn told(agent: Agent, consumer: &'static str, event_type: String, kind: Kind, id: Uuid) -> Self {
        Self { agent, sight: Sight::Masked, resource: (kind, id), once: Once::Event { consumer, event_type } }
    }

    fn of(caller: Caller<CanWrite>, kind: Kind, id: Uuid, once: Once) -> Self {
        Self { agent: caller.agent, sight: caller.sight, resource: (kind, id), once }
    }
}

/// An open change: the only thing through which rows are written.
pub struct Change<'t> {
    transaction: &'t Transaction,
    intent: &'t Intent,
    app: &'t App,
    now: Timestamp,
    /// What was done so far, for the trail.
    entries: Mutex<Vec<Entry>>,
    /// What is to be told of it.
    events: Mutex<Vec<Event>>,
    /// What was seen in clear without being changed.
    seen: Mutex<Vec<Entry>>,
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
        &self.intent.agent.tenant
    }

    /// What the service is made of.
    #[must_use]
    pub fn app(&self) -> &App {
        self.app
    }

    /// The place of the resource that is changed or made, to which its personal data is bound.
    #[must_use]
    pub fn row(&self) -> Row<'_> {
        Row { tenant: self.tenant().as_str(), id: self.id() }
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

    /// All of these rows of the tenant, locked as by [`Self::lock`].
    ///
    /// # Errors
    /// A fault of the database.
    pub async fn lock_all<E: Resource>(&self, which: impl IntoCondition) -> Result<Vec<E::Model>> {
        let rows = E::of(self.tenant()).filter(which.into_condition()).order_by_asc(E::ID);
        Ok(rows.lock(LockType::Update).all(self.db()).await?)
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
        let (_, resource) = intent.resource;
        let shared = Arc::new((self.clone(), intent, apply));
        let (value, seen) = self
            .database()
            .transact_on(resource, move |transaction: &Transaction| {
                let shared = Arc::clone(&shared);
                async move {
                    let (app, intent, apply) = &*shared;
                    let (entries, events, seen) = (Mutex::default(), Mutex::default(), Mutex::default());
                    let change = Change { transaction, intent, app, now: app.now(), entries, events, seen };
                    claim::claim(&change).await?;
                    let value = apply(&change).await?;
                    entry::write(transaction, &taken(&change.entries)).await?;
                    outbox::write(transaction, taken(&change.events)).await?;
                    Ok((value, taken(&change.seen)))
                }
                .boxed()
            })
            .await?;
        self.outbox().was_written();
        for note in seen {
            self.notes().note(Some(note));
        }
        Ok(value)
    }

    /// Carries out `apply` as one change and shows the row that it leaves. It is shown in the change itself: a row that
    /// cannot be shown is not changed.
    ///
    /// # Errors
    /// As for [`Self::change`], and 500 where personal data in the row does not open.
    pub async fn change_shown<V, F>(&self, intent: Intent, apply: F) -> Result<V>
    where
        V: Show + Send + 'static,
        F: for<'c> Fn(&'c Change<'c>) -> BoxFuture<'c, Result<<V::Entity as EntityTrait>::Model>>
            + Send
            + Sync
            + 'static,
    {
        let apply = Arc::new(apply);
        self.change(intent, move |change| {
            let apply = Arc::clone(&apply);
            async move { V::shown(apply(change).await?, &Lens::new(change.app, change.intent.sight)) }.boxed()
        })
        .await
    }
}

fn taken<T>(entries: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut entries.lock().unwrap_or_else(PoisonError::into_inner))
}
