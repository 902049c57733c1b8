//! The whole service, mostly in process: `harness` drives it, `service::coverage` tries what holds for every
//! operation of the contract, and the other folders follow those of `src`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that meets the unexpected must fail, loudly"
)]
#![expect(clippy::too_many_lines, reason = "a test tells its story in one piece")]

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts what the service allocates.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

mod harness;

mod architecture;
mod audit;
mod auth;
mod broker;
mod change;
mod cli;
mod config;
mod database;
mod documents;
mod events;
mod gateway;
mod hostile;
mod http;
mod inbound;
mod lists;
mod monitoring;
mod overview;
mod pii;
mod pipeline;
mod privacy;
mod relay;
mod resources;
mod run_book;
mod search;
mod service;
mod telemetry;
mod timeline;
