//! Standard error, written by a thread of its own behind a bounded queue: whoever logs never waits for whoever reads.
//!
//! A pipe that nobody reads is full after some hundred lines, and the write after that does not return. Then lines wait in
//! the queue, and where that is full they are dropped and counted; once the queue is empty again the log says how many.

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

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// How many lines may wait to be written: a few megabytes at the most.
const WAITING: usize = 8192;
/// How long what waits may take to be written before the last line of the process, and again after it.
const PATIENCE: Duration = Duration::from_millis(500);

/// The queue before standard error. At its end, which is to be the end of the process, what waits is written.
pub struct StandardError {
    lines: Lines,
    /// Never dropped: told to end while the queue is full, it would print to standard output, where nobody may read either.
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

    /// What lines are written to: each with one call.
    pub(super) fn lines(&self) -> Lines {
        self.lines.clone()
    }

    /// Writes a line after all that were logged.
    pub fn say(&self, line: &str) {
        self.lines.counts.wait();
        let _never_fails = self.lines().write_all(format!("{line}\n").as_bytes());
    }
}

impl Drop for StandardError {
    fn drop(&mut self) {
        self.lines.counts.wait();
    }
}

/// Where those who log put their lines.
#[derive(Clone)]
pub(super) struct Lines {
    queue: NonBlocking,
    counts: Arc<Counts>,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.counts.put.fetch_add(1, Ordering::AcqRel);
        self.queue.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What became of the lines.
#[derive(Default)]
struct Counts {
    put: AtomicUsize,
    written: AtomicUsize,
    dropped: OnceLock<ErrorCounter>,
}

impl Counts {
    fn dropped(&self) -> usize {
        self.dropped.get().map_or(0, ErrorCounter::dropped_lines)
    }

    /// Waits until no line waits, but not for ever.
    fn wait(&self) {
        let end = Instant::now() + PATIENCE;
        while self.written.load(Ordering::Acquire) + self.dropped() < self.put.load(Ordering::Acquire)
            && Instant::now() < end
        {
            // The process ends: there is nothing else that its last thread could do.
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Standard error, as far as it can be written. What cannot be is dropped: it is all that an error could be told to.
struct Writer {
    counts: Arc<Counts>,
    /// How many dropped lines the log told of.
    told: usize,
}

impl Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _dropped = io::stderr().write_all(line);
        self.counts.written.fetch_add(1, Ordering::AcqRel);
        Ok(line.len())
    }

    /// The queue is empty: there is room for what could not be told before.
    fn flush(&mut self) -> io::Result<()> {
        let dropped = self.counts.dropped();
        if dropped > self.told {
            tracing::warn!(lines = dropped - self.told, "lines of the log were dropped: standard error was not read");
            self.told = dropped;
        }
        Ok(())
    }
}
