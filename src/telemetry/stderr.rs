//! Standard error, written by a thread of its own behind a bounded queue: logging never waits for the reader.
//!
//! A pipe that nobody reads is full after a few hundred lines, and the next write blocks. Lines then wait in the queue; when
//! that is full they are dropped and counted, and the log says how many once the queue is empty again.

use std::{
    io::{self, Write},
    mem::ManuallyDrop,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use prometheus_client::metrics::counter::Counter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Maximum number of lines in the queue: a few megabytes.
const WAITING: usize = 8192;
/// How long the end of the process waits for the queue, before its last line and again after it.
const PATIENCE: Duration = Duration::from_millis(500);

/// The queue in front of standard error. Dropped at the end of the process, when it waits for the queue to be written.
pub struct StandardError {
    lines: Lines,
    /// Never dropped: with a full queue its drop would print to standard output, which may block as well.
    _worker: ManuallyDrop<WorkerGuard>,
}

impl StandardError {
    /// Starts the thread that writes.
    #[must_use]
    pub fn start() -> Self {
        let counts = Arc::new(Counts::default());
        let writer = Writer { counts: Arc::clone(&counts), told: 0 };
        let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING).thread_name("log");
        let (queue, worker) = builder.finish(writer);
        let _set_once = counts.dropped.set(queue.error_counter());
        Self { lines: Lines { queue, counts }, _worker: ManuallyDrop::new(worker) }
    }

    /// Where log lines are written, each with one call.
    pub(super) fn lines(&self) -> Lines {
        self.lines.clone()
    }

    /// From now on lines that are dropped are counted by this too, those before included.
    pub fn counted_by(&self, counter: Counter) {
        let _first_wins = self.lines.counts.counter.set(counter);
        self.lines.counts.show();
    }

    /// Waits until all log lines are written, so that there is room for the last one.
    pub(super) fn settle(&self) {
        self.lines.counts.wait();
    }

    /// Writes a line after all log lines.
    pub fn say(&self, line: &str) {
        self.settle();
        let _never_fails = self.lines().write_all(format!("{line}\n").as_bytes());
    }
}

impl Drop for StandardError {
    fn drop(&mut self) {
        self.lines.counts.wait();
    }
}

/// The queue's entrance, which counts the lines.
#[derive(Clone)]
pub(super) struct Lines {
    queue: NonBlocking,
    counts: Arc<Counts>,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.counts.put.fetch_add(1, Ordering::AcqRel);
        let written = self.queue.write(line);
        self.counts.show();
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How many lines were put into the queue, and what became of them.
#[derive(Default)]
struct Counts {
    put: AtomicUsize,
    written: AtomicUsize,
    dropped: OnceLock<ErrorCounter>,
    /// What shows how many were dropped, and how many of them it shows.
    counter: OnceLock<Counter>,
    shown: AtomicUsize,
}

impl Counts {
    fn dropped(&self) -> usize {
        self.dropped.get().map_or(0, ErrorCounter::dropped_lines)
    }

    /// Brings the counter up to date.
    fn show(&self) {
        let Some(counter) = self.counter.get() else { return };
        let dropped = self.dropped();
        let shown = self.shown.fetch_max(dropped, Ordering::AcqRel);
        counter.inc_by(u64::try_from(dropped.saturating_sub(shown)).unwrap_or(u64::MAX));
    }

    /// Waits until the queue is empty, at most for [`PATIENCE`].
    fn wait(&self) {
        let end = Instant::now() + PATIENCE;
        while self.written.load(Ordering::Acquire) + self.dropped() < self.put.load(Ordering::Acquire)
            && Instant::now() < end
        {
            // The appender's thread signals nobody when its queue is empty, so this has to look now and then. It happens once,
            // when the process ends: nothing else waits for this thread.
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Writes to standard error. Errors are ignored: there is nowhere else to report them.
struct Writer {
    counts: Arc<Counts>,
    /// How many dropped lines were reported.
    told: usize,
}

impl Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _dropped = io::stderr().write_all(line);
        self.counts.written.fetch_add(1, Ordering::AcqRel);
        Ok(line.len())
    }

    /// Called when the queue is empty: now there is room to report dropped lines.
    fn flush(&mut self) -> io::Result<()> {
        let dropped = self.counts.dropped();
        if dropped > self.told {
            tracing::warn!(lines = dropped - self.told, "lines of the log were dropped: standard error was not read");
            self.told = dropped;
        }
        Ok(())
    }
}
