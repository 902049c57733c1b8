//! A log kept in memory.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use crm::telemetry::{LogFormat, logs};
use serde_json::Value;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The log of this thread, until the guard is dropped.
    pub fn of_this_thread(filter: &str, format: LogFormat) -> (Self, DefaultGuard) {
        let log = Self::default();
        let guard = tracing::subscriber::set_default(logs::subscriber(filter, format, log.clone()));
        (log, guard)
    }

    /// The log of all threads, from now on.
    pub fn of_this_process(filter: &str) -> Self {
        let log = Self::default();
        tracing::subscriber::set_global_default(logs::subscriber(filter, LogFormat::Json, log.clone())).unwrap();
        log
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines; fails unless each is JSON.
    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    /// The lines without their timestamps, whose digits may be those that a test looks for.
    pub fn untimed(&self) -> String {
        let untimed = self.lines().into_iter().map(|mut line| {
            line.as_object_mut().unwrap().remove("timestamp").unwrap();
            format!("{line}\n")
        });
        untimed.collect()
    }

    /// The lines with this message.
    pub fn saying(&self, message: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["message"] == message).collect()
    }

    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Threads go on logging after an assertion failed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}
