//! What operators see: logs ([`logs`]) on standard error ([`stderr`]), the trace that ties a request's log lines to those of
//! other services ([`trace`]), its spans ([`spans`], with [`span`] and [`span_export`]), and metrics ([`metrics`], with a file for each area; [`exposition`]: in which format).

pub mod auth_metrics;
pub mod business_metrics;
pub mod database_metrics;
pub mod event_metrics;
pub mod exposition;
pub mod http_metrics;
pub mod logs;
pub mod metrics;
mod process_metrics;
mod registrar;
pub mod request_metrics;
pub mod span;
pub mod span_export;
pub mod span_metrics;
pub mod spans;
pub mod standby_metrics;
pub mod stderr;
pub mod trace;
pub mod upkeep_metrics;

pub use logs::{LogFormat, check_filter, start};
pub use stderr::StandardError;
