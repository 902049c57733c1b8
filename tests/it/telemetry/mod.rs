//! Logs, traces, and a standard error that fails.

mod logs;
mod metrics;
mod stderr;
