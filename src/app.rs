//! The application state of handlers: [`App`]. There is no other shared state, and there are no statics.
//!
//! Modules that [`App`] depends on never take the whole of it, only the parts they need.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    audit::{
        AuditEntry, AuditQueue, Refusals,
        reading::{reading, search},
    },
    auth::TokenVerifier,
    change::{Changes, Removal},
    config::Config,
    database::{Database, horizon::HorizonKeeper, list::KeptPage},
    error::Result,
    events::{EventSignal, WaiterLimits},
    http::{
        caller::{Caller, CanRead},
        pages::Page,
        precondition::IfNoneMatch,
        reply::{Current, FoundList},
    },
    pii::{PiiCipher, PiiView, PiiVisibility, key_registry},
    resource::{Projection, Resource, entity_tag, is_being_cleared},
    telemetry::{metrics::Metrics, spans::Spans},
    values::{Clock, IdSource, Timestamp},
};

/// The application state. Cheap to clone.
#[derive(Clone)]
pub struct App {
    parts: Arc<Parts>,
}

struct Parts {
    config: Config,
    tokens: Arc<TokenVerifier>,
    changes: Changes,
    refusals: Arc<Refusals>,
    clock: Clock,
    metrics: Arc<Metrics>,
    spans: Spans,
    stopping: CancellationToken,
    exports: Arc<Semaphore>,
}

/// The most exports of a customer that are under way at once: each has a connection that reads to itself.
const MAX_EXPORTS: usize = 2;

/// The row type of a projection.
type Row<V> = <<V as Projection>::Entity as sea_orm::EntityTrait>::Model;

impl App {
    /// Opens the application on an up-to-date database, with every key that its data needs. `ids` must use `clock`;
    /// `removals` are those of all resources, those that refer to others first; `time_limit` applies to each read and each write.
    ///
    /// # Errors
    /// Keys that are missing or unreadable, or a database that cannot be opened.
    pub async fn open(
        config: Config,
        (clock, ids): (Clock, IdSource),
        audit_queue: AuditQueue,
        removals: Vec<Removal>,
        time_limit: Duration,
    ) -> std::result::Result<Self, Box<dyn StdError + Send + Sync>> {
        let metrics: Arc<Metrics> = Arc::default();
        let spans = Spans::start(config.traces.as_ref(), &metrics.spans)?;
        let tokens = Arc::new(TokenVerifier::from_config(&config, &clock, &metrics)?);
        metrics.events.broker_configured.set(i64::from(config.events_url.is_some()));
        let database = Database::open(&config, time_limit, &metrics.database).await?;
        let cipher = key_registry::open(&config, &database, clock.now()).await?;
        let cipher = cipher.counted_by(metrics.upkeep.seal_failures.clone());
        let waiters = WaiterLimits { total: config.event_waiters, per_tenant: config.event_waiters_per_tenant };
        let changes = Changes {
            database: Arc::new(database),
            cipher: Arc::new(cipher),
            ids: Arc::new(ids),
            default_currency: config.default_currency.clone(),
            removals: removals.into(),
            audit_queue: Arc::new(audit_queue.counted_by(metrics.audit.lost.clone())),
            events: Arc::new(EventSignal::new(waiters)),
            deleted: Arc::default(),
            horizon: Arc::new(HorizonKeeper::start(clock.clone())),
        };
        // Whosever they are, each tenant has a connection left for its other reads, if it may have more than one.
        let exports = changes.database.reads_of_a_tenant().saturating_sub(1).clamp(1, MAX_EXPORTS);
        let exports = Arc::new(Semaphore::new(exports));
        let refusals = Arc::new(Refusals::new(Arc::clone(&changes.audit_queue), Arc::clone(&changes.ids)));
        let stopping = CancellationToken::new();
        Ok(Self {
            parts: Arc::new(Parts { config, tokens, changes, refusals, clock, metrics, spans, stopping, exports }),
        })
    }

    /// The configuration, as read at startup.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.parts.config
    }

    /// What verifies tokens.
    #[must_use]
    pub fn tokens(&self) -> &Arc<TokenVerifier> {
        &self.parts.tokens
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &Arc<Database> {
        &self.parts.changes.database
    }

    /// The cipher for personal data.
    #[must_use]
    pub fn cipher(&self) -> &Arc<PiiCipher> {
        &self.parts.changes.cipher
    }

    /// Runs changes.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.parts.changes
    }

    /// The queue of audit entries that are written outside of requests.
    #[must_use]
    pub fn audit_queue(&self) -> &Arc<AuditQueue> {
        &self.parts.changes.audit_queue
    }

    /// The refusals of the last minute, for the audit trail.
    #[must_use]
    pub fn refusals(&self) -> &Arc<Refusals> {
        &self.parts.refusals
    }

    /// Wakes tasks that wait for events.
    #[must_use]
    pub fn events(&self) -> &Arc<EventSignal> {
        &self.parts.changes.events
    }

    /// The metrics.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    /// What begins spans.
    #[must_use]
    pub fn spans(&self) -> &Spans {
        &self.parts.spans
    }

    /// The metrics, where what the service knows without asking is as it is now.
    #[must_use]
    pub fn metrics_now(&self) -> &Metrics {
        let (metrics, health) = (self.metrics(), self.database().health());
        metrics.database.show_health(health.reads().is_ok(), health.writes().is_ok());
        metrics.audit.waiting.set(i64::try_from(self.audit_queue().waiting()).unwrap_or(i64::MAX));
        metrics.http.event_waiters.set(i64::try_from(self.events().waiting()).unwrap_or(i64::MAX));
        metrics
    }

    /// Cancelled when shutdown begins: from then on, the service is not ready and closes connections after their
    /// response.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.parts.stopping
    }

    /// The places of exports that are under way.
    #[must_use]
    pub fn exports(&self) -> &Arc<Semaphore> {
        &self.parts.exports
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.parts.clock
    }

    /// What the retention takes for the time.
    #[must_use]
    pub fn horizon(&self) -> &HorizonKeeper {
        &self.parts.changes.horizon
    }

    /// The source of ids.
    #[must_use]
    pub fn ids(&self) -> &Arc<IdSource> {
        &self.parts.changes.ids
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// A new id, greater than the ones before.
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        self.ids().next()
    }

    /// Reads the resource that a caller requests, unless it is known already: then nothing of it is shown, and no reading
    /// is recorded.
    ///
    /// # Errors
    /// Not found; internal, if its personal data cannot be decrypted; or a database error.
    pub async fn get<V: Projection>(
        &self,
        caller: &Caller<CanRead>,
        id: Uuid,
        known: &IfNoneMatch,
    ) -> Result<Current<V>> {
        let database = self.database().read_recent(caller.tenant(), &caller.recency);
        // Looked for first: what is cleared later was not when the row was read, or the tag says so.
        let has_changed = known.names_tags() && is_being_cleared::<V::Entity>(&database, caller.tenant(), id).await?;
        let mut row = database.one::<V::Entity>(caller.tenant(), id).await?;
        let tag = entity_tag::<V::Entity>(&mut row, caller.visibility);
        if !has_changed && known.includes(tag) {
            return Ok(Current::Known(tag));
        }
        let reading = self.reading::<V::Entity>(caller, std::slice::from_ref(&row));
        let projected = V::project_tagged(row, &PiiView::new(self.cipher(), caller.visibility))?;
        self.audit_queue().record(reading);
        Ok(Current::Read(projected))
    }

    /// The page that a caller requests.
    ///
    /// # Errors
    /// Internal, if personal data in a row cannot be decrypted: a page is never returned in part.
    pub fn project_page<V: Projection + Serialize>(
        &self,
        caller: &Caller<CanRead>,
        page: &Page,
        rows: KeptPage<Row<V>>,
    ) -> Result<FoundList<V>> {
        self.project_found(caller, &[], page, rows)
    }

    /// The page that a caller requests of what a search by these fields found. Of a page that is kept, so is the reply to those
    /// who see personal data masked: nothing is recorded of that.
    ///
    /// # Errors
    /// As for [`Self::project_page`].
    pub fn project_found<V: Projection + Serialize>(
        &self,
        caller: &Caller<CanRead>,
        searched: &[&'static str],
        page: &Page,
        rows: KeptPage<Row<V>>,
    ) -> Result<FoundList<V>> {
        let is_kept = searched.is_empty() && caller.visibility == PiiVisibility::Masked;
        let kept = rows.reply().clone();
        if is_kept && let Some(body) = kept.to(page.asked()) {
            return Ok(FoundList::again(body));
        }
        let entry = match searched {
            [] => self.reading::<V::Entity>(caller, &rows.rows().data),
            searched => search::<V::Entity>(self.ids(), &caller.actor, searched, rows.rows()),
        };
        let view = PiiView::new(self.cipher(), caller.visibility);
        let list = page.answer(self.cipher(), rows.into_rows(), |row| V::project(row, &view))?;
        let found = FoundList::of(&list)?;
        if is_kept {
            kept.keep(page.asked(), found.body());
        }
        self.audit_queue().record(entry);
        Ok(found)
    }

    /// What the audit trail is to say of these rows, which are shown to the caller: that personal data was seen unmasked, if any was.
    #[must_use]
    pub fn reading<E: Resource>(&self, caller: &Caller<CanRead>, rows: &[E::Model]) -> Option<AuditEntry> {
        reading::<E>(self.ids(), &caller.actor, caller.visibility, rows)
    }
}
