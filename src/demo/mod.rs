//! What `crm demo` serves: a temporary database of invented customers, filled before it is served.
//!
//! Rules: what fills it are requests to the service itself, and events of the platform, so that every customer has its audit
//! entries, events and sealed values like any other. Only the clock is set, to the time of each step. Nothing outlives the
//! process: the database is in a directory that is removed with it, and the keys are in its memory alone.
//!
//! Reading order: `customers` who the customers are, in `acme-trading.yaml` and `globex.yaml` · `history` what happened, in
//! order · `writer`, [`fill`](fn@fill) how it is written · `directory` where · [`seed`](fn@seed) the same customers, as many as are
//! asked for, in a database that stays.

mod customers;
mod directory;
mod fill;
mod history;
mod seed;
mod writer;

pub use directory::DemoDirectory;
pub use fill::{FilledTenant, fill};
pub use seed::seed;
