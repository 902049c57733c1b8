//! A write is one transaction, and takes effect once.

mod commits;
mod concurrency;
mod idempotency;
mod removal;
