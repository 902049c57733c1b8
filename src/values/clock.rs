//! Where the time and new ids come from: passed to whoever needs them, so that tests own both.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use chrono::{DateTime, Utc};
use uuid::{Builder, ContextV7, Uuid};

use super::Timestamp;

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

/// Where ids come from: UUIDs of version 7, each later in order than the ones before (RFC 9562).
pub struct IdSource {
    clock: Clock,
    rest: Rest,
}

/// What stands in an id behind the time.
enum Rest {
    /// Random bits and a counter, so that ids of one process ascend (RFC 9562, section 6.2).
    Random(Mutex<ContextV7>),
    /// A count: the same in every run of a test.
    Count(AtomicU64),
}

impl IdSource {
    /// Ids for a running service.
    #[must_use]
    pub fn random(clock: Clock) -> Self {
        Self { clock, rest: Rest::Random(Mutex::new(ContextV7::new())) }
    }

    /// Ids for tests, which count up from `first` in place of random bits.
    #[must_use]
    pub fn sequence(clock: Clock, first: u64) -> Self {
        Self { clock, rest: Rest::Count(AtomicU64::new(first)) }
    }

    /// The present instant, by the clock that is in the ids.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A new id.
    #[must_use]
    pub fn next(&self) -> Uuid {
        let millis = u64::try_from(self.now().0.timestamp_millis()).unwrap_or_default();
        match &self.rest {
            #[expect(clippy::disallowed_methods, reason = "this is the place where ids come from")]
            Rest::Random(context) => {
                let (seconds, nanos) = (millis / 1000, u32::try_from(millis % 1000).unwrap_or_default() * 1_000_000);
                let context = context.lock().unwrap_or_else(PoisonError::into_inner);
                Uuid::new_v7(uuid::Timestamp::from_unix(&*context, seconds, nanos))
            }
            Rest::Count(count) => {
                let mut in_place_of_random = [0; 10];
                let count = count.fetch_add(1, Ordering::SeqCst).to_be_bytes();
                in_place_of_random.iter_mut().rev().zip(count.iter().rev()).for_each(|(to, from)| *to = *from);
                Builder::from_unix_timestamp_millis(millis, &in_place_of_random).into_uuid()
            }
        }
    }
}
