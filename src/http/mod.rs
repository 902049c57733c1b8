//! The service stack: everything between a connection and an operation, once for all.
//!
//! [`stack`] says in which order a request passes it. [`server`] listens. What handlers take as arguments: [`caller`],
//! [`query`], [`request_id`], [`body`]; what they answer: [`reply`], [`error`]. [`contract`] makes the OpenAPI document,
//! [`probes`] are the operations without a tenant.

pub mod base_path;
pub mod body;
pub mod caller;
pub mod contract;
pub mod error;
pub mod header;
pub mod probes;
pub mod query;
pub mod reply;
pub mod request_id;
pub mod server;
pub mod stack;
pub mod tag;

pub use base_path::BASE_PATH;
