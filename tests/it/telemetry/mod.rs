//! Logs and traces.

mod logs;
