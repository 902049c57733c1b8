//! Logs, traces, and a standard error that fails.

mod alerts;
mod logs;
mod metrics;
mod stderr;
