//! What operators see: logs, one event a line, on standard error ([`logs`]), and the trace that ties a request's lines to
//! those of other services ([`trace`]), and metrics ([`metrics`]).

pub mod logs;
pub mod metrics;
pub mod trace;

pub use logs::{LogFormat, check_filter, start};
