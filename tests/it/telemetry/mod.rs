//! Logs, traces, and a standard error that fails.

mod logs;
mod stderr;
