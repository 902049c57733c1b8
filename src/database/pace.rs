//! Long reads of SQLite give way.
//!
//! A statement of SQLite keeps a core busy until it ends. On few cores, two that read a million rows leave little to everybody
//! else. So a read that has gone on for a while pauses twice as long as it works; most end before.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How long a statement works without a pause.
const UNPACED: Duration = Duration::from_millis(5);
/// How long it works between pauses.
const SLICE: Duration = Duration::from_millis(1);
/// How long a pause is.
const PAUSE: Duration = Duration::from_millis(2);

/// Paces the statements of one connection, from within SQLite.
pub(super) struct Pace {
    began: Instant,
    slice: Instant,
}

impl Pace {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { began: now, slice: now }
    }

    /// To be called now and then while a statement runs; `is_new` says that another one has begun, and is taken back.
    pub(super) fn step(&mut self, is_new: &AtomicBool) {
        let now = Instant::now();
        if is_new.swap(false, Ordering::Relaxed) {
            *self = Self { began: now, slice: now };
        } else if now.duration_since(self.began) > UNPACED && now.duration_since(self.slice) > SLICE {
            // SQLite calls this in the middle of a statement, where nothing can be awaited, on a thread that serves this
            // connection alone: sleeping is what leaves the core to others.
            thread::sleep(PAUSE);
            self.slice = Instant::now();
        }
    }
}
