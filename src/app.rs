//! What every request shares: [`App`]. There is no other shared state and there are no statics.
//!
//! Time and identifiers come from here and only from here, so that tests own both.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use chrono::{DateTime, Utc};
use uuid::{Builder, ContextV7, Uuid};

use crate::{
    audit::Notes, auth::Keys, config::Config, database::Database, events::Outbox, pii::vault::Vault,
    telemetry::metrics::Metrics, values::Timestamp,
};

/// The service: its configuration, keys, database, clock and source of ids. Cheap to clone.
#[derive(Clone)]
pub struct App {
    parts: Arc<Parts>,
    stopping: Arc<AtomicBool>,
}

/// What an [`App`] is made of.
pub struct Parts {
    /// The configuration, as read at start.
    pub config: Config,
    /// What verifies tokens.
    pub keys: Keys,
    /// The one database.
    pub database: Database,
    /// What seals and opens personal data.
    pub vault: Vault,
    /// The queue of what is noted in the audit trail beside the requests.
    pub notes: Notes,
    /// What wakes those who wait for events.
    pub outbox: Outbox,
    /// What is counted.
    pub metrics: Metrics,
    /// The clock.
    pub clock: Clock,
    /// The source of ids.
    pub ids: Ids,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts), stopping: Arc::default() }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.parts.config
    }

    /// What verifies tokens.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.parts.keys
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.parts.database
    }

    /// What seals and opens personal data.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.parts.vault
    }

    /// The queue of what is noted in the audit trail beside the requests.
    #[must_use]
    pub fn notes(&self) -> &Notes {
        &self.parts.notes
    }

    /// What wakes those who wait for events.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.parts.outbox
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.parts.metrics
    }

    /// Makes known that the service was told to stop: from now on it is not ready, and asks for no more on a connection.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Whether the service was told to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// A new id, later in order than the ones before.
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        self.parts.ids.next(self.now())
    }
}

/// Where the time comes from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that a test moves: milliseconds since 1970.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is the place where the time comes from")]
            Self::System => Timestamp::new(Utc::now()),
            Self::Manual(millis) => {
                Timestamp(DateTime::from_timestamp_millis(millis.load(Ordering::SeqCst)).unwrap_or_default())
            }
        }
    }
}

/// Where ids come from.
pub enum Ids {
    /// UUIDv7 with random bits and a counter, so that ids of one process ascend (RFC 9562, section 6.2).
    Random(Mutex<ContextV7>),
    /// UUIDv7 that count up in place of random bits: the same in every run of a test.
    Sequence(AtomicU64),
}

impl Ids {
    /// Ids for a running service.
    #[must_use]
    pub fn random() -> Self {
        Self::Random(Mutex::new(ContextV7::new()))
    }

    fn next(&self, now: Timestamp) -> Uuid {
        let millis = u64::try_from(now.0.timestamp_millis()).unwrap_or_default();
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is the place where ids come from")]
            Self::Random(context) => {
                let (seconds, nanos) = (millis / 1000, u32::try_from(millis % 1000).unwrap_or_default() * 1_000_000);
                let context = context.lock().unwrap_or_else(PoisonError::into_inner);
                Uuid::new_v7(uuid::Timestamp::from_unix(&*context, seconds, nanos))
            }
            Self::Sequence(count) => {
                let mut in_place_of_random = [0; 10];
                let count = count.fetch_add(1, Ordering::SeqCst).to_be_bytes();
                in_place_of_random.iter_mut().rev().zip(count.iter().rev()).for_each(|(to, from)| *to = *from);
                Builder::from_unix_timestamp_millis(millis, &in_place_of_random).into_uuid()
            }
        }
    }
}
