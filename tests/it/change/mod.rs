//! A write is one transaction, and takes effect once.

mod commits;
mod concurrency;
mod groups;
mod idempotency;
mod lost_updates;
mod not_modified;
mod preconditions;
mod receipts;
mod removal;
