//! SQLite: one writer with group commit. Work waits in a queue; one task takes what waits, runs it in one transaction and commits it with
//! a single fsync.
//!
//! A unit of work that is refused takes back what it wrote and nothing else ([`group`]). A fault ends the whole group, because SQLite
//! may have rolled it back: everybody in it is answered 503. A trial commit follows on a new connection; while it fails, all work is
//! refused at once, and it is repeated each second.
//!
//! Tenants are served in turn, however much of it one of them sends.
//!
//! In reading order: [`executor`] · [`queue`] · [`queued_work`] · [`group`] · [`writer`] · [`maintenance`].

mod executor;
mod group;
mod maintenance;
mod queue;
mod queued_work;
mod writer;

use std::time::Duration;

pub(in crate::database) use executor::SqliteExecutor;

/// The most units of work that wait. Beyond that, the last one of the tenant that has most of them is answered 503.
const QUEUE_SIZE: usize = 4096;
/// How long the disk may take for a step before the connection is given up. Those who wait are answered before.
const DISK_TIMEOUT: Duration = Duration::from_secs(30);
/// The cause where another process's lock is in the way.
const LOCKED: &str = "another process holds the lock on the database";
