//! Runs a change in its transaction.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::EntityTrait;
use tokio::sync::Notify;

use super::{
    claim,
    intent::{Idempotency, Intent},
    open::{Change, Removal},
    receipt::{self, Receipt},
};
use crate::{
    audit::{AuditQueue, entry},
    database::{Database, Transaction, horizon::HorizonKeeper},
    error::{Error, ErrorKind, Result},
    events::{EventSignal, outbox},
    http::reply::Tagged,
    pii::{PiiCipher, PiiView},
    resource::Projection,
    timeline,
    values::{Currency, IdSource, Tenant},
};

/// Runs changes. Cheap to clone.
#[derive(Clone)]
pub struct Changes {
    /// The database that changes are committed to.
    pub database: Arc<Database>,
    /// Encrypts personal data.
    pub cipher: Arc<PiiCipher>,
    /// The source of ids and time.
    pub ids: Arc<IdSource>,
    /// The currency of opportunities that specify none.
    pub default_currency: Currency,
    /// How the rows of each resource are removed, those that refer to others first.
    pub removals: Arc<[Removal]>,
    /// Records reads of personal data.
    pub audit_queue: Arc<AuditQueue>,
    /// Wakes tasks that wait for events.
    pub events: Arc<EventSignal>,
    /// Wakes the task that removes what is deleted.
    pub deleted: Arc<Notify>,
    /// What the retention takes for the time.
    pub horizon: Arc<HorizonKeeper>,
}

impl Changes {
    /// Runs `apply` as one change. `apply` may run more than once: the write executor retries on contention.
    ///
    /// # Errors
    /// Duplicate, if the key was used before; else any error of `apply`; or a database error.
    pub async fn apply<T, F>(&self, intent: Intent, apply: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c, 't> Fn(&'c mut Change<'t>) -> BoxFuture<'c, Result<T>> + Send + Sync + 'static,
    {
        let ((_, resource), tenant) = (intent.resource, intent.actor.tenant.clone());
        let recency = intent.recency.clone();
        let shared = Arc::new((self.clone(), intent, apply));
        let work = Arc::clone(&shared);
        let mut outcome = self
            .database
            .transact_for(&tenant, resource, &recency, move |transaction: &Transaction| {
                let work = Arc::clone(&work);
                async move {
                    let (changes, intent, apply) = &*work;
                    let mut change = changes.open(transaction, intent);
                    claim::claim(&change).await?;
                    let value = apply(&mut change).await?;
                    entry::write(transaction, &change.entries);
                    timeline::store::write(transaction, &change.timeline);
                    outbox::write(transaction, change.events);
                    Ok((value, change.marked, change.readings))
                }
                .boxed()
            })
            .await;
        if let Err(error) = outcome {
            outcome = Err(self.refusal(&shared.1, error).await);
        }
        if let Err(error) = &outcome
            && matches!(error.kind(), ErrorKind::Duplicate | ErrorKind::PreconditionFailed)
        {
            // Whoever is told of what is there will want to read it.
            self.database.note_position(&tenant, &recency).await;
        }
        let (value, marked, readings) = outcome?;
        self.events.committed();
        if marked {
            self.deleted.notify_one();
        }
        for reading in readings {
            self.audit_queue.record(Some(reading));
        }
        Ok(value)
    }

    /// Runs `apply` as one change and projects the resulting row, within the transaction: if the row cannot be
    /// returned, it is not changed.
    ///
    /// # Errors
    /// As for [`Self::apply`]; internal, if personal data in the row cannot be decrypted.
    pub async fn apply_and_project<V, F>(&self, intent: Intent, apply: F) -> Result<Tagged<V>>
    where
        V: Projection + Send + 'static,
        F: for<'c, 't> Fn(&'c mut Change<'t>) -> BoxFuture<'c, Result<<V::Entity as EntityTrait>::Model>>
            + Send
            + Sync
            + 'static,
    {
        let apply = Arc::new(apply);
        self.apply(intent, move |change| {
            let apply = Arc::clone(&apply);
            async move {
                let row = apply(change).await?;
                V::project_tagged(row, &PiiView::new(change.cipher, change.intent.visibility))
            }
            .boxed()
        })
        .await
    }

    /// Why a change failed: as a duplicate, if the key of its request was accepted before, whatever else is wrong with it now.
    async fn refusal(&self, intent: &Intent, error: Error) -> Error {
        let Idempotency::Request(key, _) = &intent.idempotency else { return error };
        if error.kind() == ErrorKind::Unavailable {
            return error;
        }
        match self.receipt(&intent.actor.tenant, &key.key).await {
            Ok(Some(first)) => Error::duplicate_request(key.header, first.resource),
            Ok(None) if error.kind() == ErrorKind::Duplicate => {
                Error::unavailable("a claim was purged while it was looked at")
            }
            Ok(None) => error,
            Err(fault) => fault,
        }
    }

    /// The receipt of the tenant's request with this key, if one was accepted and is still known.
    ///
    /// # Errors
    /// A database error.
    pub async fn receipt(&self, tenant: &Tenant, key: &str) -> Result<Option<Receipt>> {
        receipt::find(&self.database.read_for(tenant), tenant, key, &self.removals).await
    }

    fn open<'t>(&'t self, transaction: &'t Transaction, intent: &'t Intent) -> Change<'t> {
        let now = self.ids.now();
        Change {
            transaction,
            intent,
            cipher: &self.cipher,
            ids: &self.ids,
            default_currency: &self.default_currency,
            removals: &self.removals,
            now,
            kept_from: self.horizon.stamp(now.0),
            entries: Vec::new(),
            events: Vec::new(),
            timeline: Vec::new(),
            marked: false,
            removes: false,
            readings: Vec::new(),
        }
    }
}
