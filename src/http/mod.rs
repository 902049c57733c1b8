//! HTTP: the service stack, between the connection and the operations.
//!
//! [`stack`] defines the order in which a request passes through it. [`server`] listens; `connection` and
//! `unread` are what lets a connection end well. Handler arguments: [`caller`],
//! [`query`], [`request_id`], [`body`]; results: [`reply`], [`error`]. [`contract`] emits the OpenAPI document;
//! [`probes`] are the operations without a tenant.

pub mod base_path;
pub mod body;
pub mod caller;
mod connection;
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
mod unread;

pub use base_path::BASE_PATH;
