//! What operators see: logs ([`logs`]) on standard error ([`stderr`]), the trace that ties a request's log lines to those of
//! other services ([`trace`]), and metrics ([`metrics`]).

pub mod logs;
pub mod metrics;
pub mod stderr;
pub mod trace;

pub use logs::{LogFormat, check_filter, start};
pub use stderr::StandardError;
