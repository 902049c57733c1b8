//! Sources of time and ids, injected so that tests control both.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use uuid::{Builder, ContextV7, Uuid};

use super::Timestamp;

/// The source of the current time.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The system clock.
    System,
    /// A clock that is set: by a test, or by what fills a demo.
    Manual(ManualClock),
}

impl Clock {
    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
            Self::System => Timestamp::new(Utc::now()),
            Self::Manual(clock) => {
                Timestamp(DateTime::from_timestamp_millis(clock.now.load(Ordering::SeqCst)).unwrap_or_default())
            }
        }
    }

    /// Measures the time from now on, whatever the clock is set to.
    #[must_use]
    pub fn stopwatch(&self) -> Stopwatch {
        match self {
            Self::System => Stopwatch::System(Instant::now()),
            Self::Manual(clock) => Stopwatch::Manual(clock.clone(), clock.passed.load(Ordering::SeqCst)),
        }
    }
}

/// A clock that is set, and does not run by itself. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    /// What it says, in milliseconds since the Unix epoch.
    pub now: Arc<AtomicI64>,
    /// The time that has passed, in milliseconds: what is not changed by setting the clock.
    pub passed: Arc<AtomicI64>,
}

/// Measures time that passes. Time in which the machine is suspended may not count.
#[derive(Debug)]
pub enum Stopwatch {
    /// By the system's monotonic clock.
    System(Instant),
    /// By a test's, from this time on.
    Manual(ManualClock, i64),
}

impl Stopwatch {
    /// The time since it was started.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match self {
            Self::System(start) => start.elapsed(),
            Self::Manual(clock, start) => {
                let passed = clock.passed.load(Ordering::SeqCst) - start;
                Duration::from_millis(u64::try_from(passed).unwrap_or_default())
            }
        }
    }
}

/// Generates version 7 UUIDs (RFC 9562), each greater than the one before.
pub struct IdSource {
    clock: Clock,
    rest: Rest,
}

/// The part of an id after the timestamp.
enum Rest {
    /// A counter and random bits: ids increase monotonically within a process (RFC 9562, section 6.2).
    Random(Mutex<ContextV7>),
    /// A counter, for reproducible tests.
    Count(AtomicU64),
}

impl IdSource {
    /// Random ids, for production.
    #[must_use]
    pub fn random(clock: Clock) -> Self {
        Self { clock, rest: Rest::Random(Mutex::new(ContextV7::new())) }
    }

    /// Predictable ids for tests: a counter starting at `first` replaces the random bits.
    #[must_use]
    pub fn sequence(clock: Clock, first: u64) -> Self {
        Self { clock, rest: Rest::Count(AtomicU64::new(first)) }
    }

    /// The current time, from the clock that timestamps the ids.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A new id.
    #[must_use]
    pub fn next(&self) -> Uuid {
        let millis = u64::try_from(self.now().0.timestamp_millis()).unwrap_or_default();
        match &self.rest {
            #[expect(clippy::disallowed_methods, reason = "the one place that generates ids")]
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
