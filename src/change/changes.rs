//! How a change is carried out.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::EntityTrait;

use super::{
    claim,
    intent::Intent,
    open::{Cascade, Change},
};
use crate::{
    audit::{AuditQueue, entry},
    database::{Database, Transaction},
    error::Result,
    events::{EventSignal, outbox},
    pii::{PiiCipher, PiiView},
    resource::Projection,
    values::{Currency, IdSource},
};

/// What changes are carried out with. Cheap to clone.
#[derive(Clone)]
pub struct Changes {
    /// Where they are committed.
    pub database: Arc<Database>,
    /// What seals personal data.
    pub cipher: Arc<PiiCipher>,
    /// Where ids come from, and the time.
    pub ids: Arc<IdSource>,
    /// The currency of an opportunity that names none.
    pub default_currency: Currency,
    /// What becomes of rows when the resource that they refer to is deleted, in the order in which that is done.
    pub cascades: Arc<[Cascade]>,
    /// Where readings of personal data are recorded.
    pub audit_queue: Arc<AuditQueue>,
    /// What wakes those who wait for events.
    pub events: Arc<EventSignal>,
}

impl Changes {
    /// Carries out `apply` as one change.
    ///
    /// # Errors
    /// A duplicate where the request id was used before, what `apply` refuses, and faults of the database.
    pub async fn apply<T, F>(&self, intent: Intent, apply: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c, 't> Fn(&'c mut Change<'t>) -> BoxFuture<'c, Result<T>> + Send + Sync + 'static,
    {
        let (_, resource) = intent.resource;
        let shared = Arc::new((self.clone(), intent, apply));
        let (value, readings) = self
            .database
            .transact_on(resource, move |transaction: &Transaction| {
                let shared = Arc::clone(&shared);
                async move {
                    let (changes, intent, apply) = &*shared;
                    let mut change = changes.open(transaction, intent);
                    claim::claim(&change).await?;
                    let value = apply(&mut change).await?;
                    entry::write(transaction, &change.entries).await?;
                    outbox::write(transaction, change.events).await?;
                    Ok((value, change.readings))
                }
                .boxed()
            })
            .await?;
        self.events.committed();
        for reading in readings {
            self.audit_queue.record(Some(reading));
        }
        Ok(value)
    }

    /// Carries out `apply` as one change and projects the row that it leaves: in the change itself, so that a row that cannot
    /// be answered is not changed.
    ///
    /// # Errors
    /// As for [`Self::apply`], and a fault where personal data in the row does not open.
    pub async fn apply_and_project<V, F>(&self, intent: Intent, apply: F) -> Result<V>
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
                V::project(row, &PiiView::new(change.cipher, change.intent.visibility))
            }
            .boxed()
        })
        .await
    }

    fn open<'t>(&'t self, transaction: &'t Transaction, intent: &'t Intent) -> Change<'t> {
        Change {
            transaction,
            intent,
            cipher: &self.cipher,
            ids: &self.ids,
            default_currency: &self.default_currency,
            cascades: &self.cascades,
            now: self.ids.now(),
            entries: Vec::new(),
            events: Vec::new(),
            readings: Vec::new(),
        }
    }
}
