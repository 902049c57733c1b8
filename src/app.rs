//! What handlers hold: [`App`]. There is no other shared state and there are no statics.
//!
//! It is opened in one place and made of the parts of the rooms below; what stands below it takes the part it needs.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    audit::{AuditEntry, AuditQueue, reading::reading},
    auth::Keys,
    change::{Cascade, Changes},
    config::Config,
    database::{Database, read},
    error::Result,
    events::EventSignal,
    http::caller::{Caller, CanRead},
    pii::{PiiCipher, PiiView, key_registry},
    resource::{Projection, Resource},
    telemetry::metrics::Metrics,
    values::{Clock, IdSource, Timestamp, page::List},
};

/// The service's parts. Cheap to clone.
#[derive(Clone)]
pub struct App {
    parts: Arc<Parts>,
}

struct Parts {
    config: Config,
    keys: Arc<Keys>,
    changes: Changes,
    clock: Clock,
    metrics: Arc<Metrics>,
    stopping: CancellationToken,
}

/// The row of a projection.
type Row<V> = <<V as Projection>::Entity as sea_orm::EntityTrait>::Model;

impl App {
    /// Opens the parts on a database that is up to date, with every key that its data needs. `ids` are made by `clock`;
    /// `cascades` are those of all resources. Each read and each change of the database has `time_limit`.
    ///
    /// # Errors
    /// Keys that cannot be read or are missing, a database that cannot be opened.
    pub async fn open(
        config: Config,
        (clock, ids): (Clock, IdSource),
        audit_queue: AuditQueue,
        cascades: Vec<Cascade>,
        time_limit: Duration,
    ) -> std::result::Result<Self, Box<dyn StdError + Send + Sync>> {
        let keys = Arc::new(Keys::from_config(&config)?);
        let database = Database::open(&config, time_limit).await?;
        let cipher = key_registry::open(&config, &database, clock.now()).await?;
        let changes = Changes {
            database: Arc::new(database),
            cipher: Arc::new(cipher),
            ids: Arc::new(ids),
            default_currency: config.default_currency.clone(),
            cascades: cascades.into(),
            audit_queue: Arc::new(audit_queue),
            events: Arc::default(),
        };
        let (metrics, stopping) = (Arc::default(), CancellationToken::new());
        Ok(Self { parts: Arc::new(Parts { config, keys, changes, clock, metrics, stopping }) })
    }

    /// The configuration, as read at start.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.parts.config
    }

    /// What verifies tokens.
    #[must_use]
    pub fn keys(&self) -> &Arc<Keys> {
        &self.parts.keys
    }

    /// The one database.
    #[must_use]
    pub fn database(&self) -> &Arc<Database> {
        &self.parts.changes.database
    }

    /// What seals and opens personal data.
    #[must_use]
    pub fn cipher(&self) -> &Arc<PiiCipher> {
        &self.parts.changes.cipher
    }

    /// What carries out changes.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.parts.changes
    }

    /// The queue of entries that are written into the audit trail beside the requests.
    #[must_use]
    pub fn audit_queue(&self) -> &Arc<AuditQueue> {
        &self.parts.changes.audit_queue
    }

    /// What wakes those who wait for events.
    #[must_use]
    pub fn events(&self) -> &Arc<EventSignal> {
        &self.parts.changes.events
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    /// Cancelled once the service was told to stop: from then on it is not ready, and closes connections after their reply.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.parts.stopping
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.parts.clock
    }

    /// The source of ids.
    #[must_use]
    pub fn ids(&self) -> &Arc<IdSource> {
        &self.parts.changes.ids
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// A new id, later in order than the ones before.
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        self.ids().next()
    }

    /// Reads the resource that a caller asks for.
    ///
    /// # Errors
    /// Not found, a fault where its personal data does not open, or a fault of the database.
    pub async fn get<V: Projection>(&self, caller: &Caller<CanRead>, id: Uuid) -> Result<V> {
        let row = read::one::<V::Entity>(&self.database().read(), caller.tenant(), id).await?;
        let reading = self.reading::<V::Entity>(caller, std::slice::from_ref(&row));
        let projected = V::project(row, &PiiView::new(self.cipher(), caller.visibility))?;
        self.audit_queue().record(reading);
        Ok(projected)
    }

    /// Projects the page that a caller asks for.
    ///
    /// # Errors
    /// A fault where personal data in one of the rows does not open: a page is never answered in part.
    pub fn project_page<V: Projection>(&self, caller: &Caller<CanRead>, page: List<Row<V>>) -> Result<List<V>> {
        let reading = self.reading::<V::Entity>(caller, &page.data);
        let view = PiiView::new(self.cipher(), caller.visibility);
        let projected = page.try_map(|row| V::project(row, &view))?;
        self.audit_queue().record(reading);
        Ok(projected)
    }

    fn reading<E: Resource>(&self, caller: &Caller<CanRead>, rows: &[E::Model]) -> Option<AuditEntry> {
        reading::<E>(self.ids(), &caller.actor, caller.visibility, rows)
    }
}
