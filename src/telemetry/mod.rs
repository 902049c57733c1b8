//! What operators see: logs, one event a line, on standard error ([`logs`]), and the trace that ties a request's lines to
//! those of other services ([`trace`]).

pub mod logs;
pub mod trace;

pub use logs::{LogFormat, check_filter, start};
