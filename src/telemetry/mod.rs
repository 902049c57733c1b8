//! What operators see: logs, one event a line ([`logs`]), on standard error ([`stderr`]), and the trace that ties a
//! request's lines to those of other services ([`trace`]), and metrics ([`metrics`]).

pub mod logs;
pub mod metrics;
pub mod stderr;
pub mod trace;

pub use logs::{LogFormat, check_filter, start};
pub use stderr::StandardError;
