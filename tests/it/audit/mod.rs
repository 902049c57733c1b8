//! The audit trail: its entries, the hash chain over them, and how long they are kept.

mod chain;
mod entries;
mod lists;
mod queue;
mod refusals;
mod retention;
mod tampering;
