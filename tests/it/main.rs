//! The whole service, driven in process through HTTP semantics: see `harness` for how, `coverage` for what is tried on
//! every operation of the contract, and one file per resource and per concern for the rest.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that meets the unexpected must fail, loudly"
)]

mod harness;

mod architecture;
mod audit;
mod audit_chain;
mod audit_notes;
mod audit_retention;
mod audit_tampering;
mod bodies;
mod canaries;
mod cli;
mod commits;
mod concurrency;
mod config;
mod connections;
mod contacts;
mod contract;
mod coverage;
mod crash;
mod customers;
mod database;
mod disks;
mod errors;
mod events;
mod faults;
mod follow_ups;
mod headers;
mod hot_rows;
mod idempotency;
mod inbound;
#[cfg(feature = "kafka")]
mod kafka;
mod lists;
mod logs;
mod migrations;
mod opportunities;
mod outages;
mod personal_data;
mod pooler;
mod postgres;
mod probes;
mod rabbitmq;
mod relay;
mod rotation;
mod sealing;
mod search;
mod startup;
mod tenants;
mod tokens;
