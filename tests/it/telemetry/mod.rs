//! Logs, traces, and a standard error that fails.

mod alerts;
mod event_lines;
mod logs;
mod metrics;
mod stderr;
mod traces;
mod traces_export;
