//! What `crm demo` serves: a temporary database of invented customers, filled before it is served.
//!
//! Rules: what fills it are requests to the service itself, and events of the platform, so that every customer has its audit
//! entries, events and sealed values like any other. Only the clock is set, to the time of each step. Nothing outlives the
//! process: the database is in a directory that is removed with it, and the keys are in its memory alone.
//!
//! Reading order: `customers` who the customers are, in `acme-trading.yaml` and `globex.yaml` · `history` what happened, in
//! order · [`fill`](fn@fill) how it is written · `directory` where.

mod customers;
mod directory;
mod fill;
mod history;

pub use directory::DemoDirectory;
pub use fill::{FilledTenant, fill};
