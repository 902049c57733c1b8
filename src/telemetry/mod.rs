//! What operators see: logs ([`logs`]) on standard error ([`stderr`]), the trace that ties a request's log lines to those of
//! other services ([`trace`]), and metrics ([`metrics`]; those about tokens in [`auth_metrics`]).

pub mod auth_metrics;
pub mod business_metrics;
pub mod logs;
pub mod metrics;
mod registrar;
pub mod stderr;
pub mod trace;

pub use logs::{LogFormat, check_filter, start};
pub use stderr::StandardError;
