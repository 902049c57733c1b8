//! HTTP: the service stack, between the connection and the operations.
//!
//! [`stack`] defines the order in which a request passes through it. [`server`] listens; `connection` and
//! `unread` are what lets a connection end well. Handler arguments: [`caller`],
//! [`query`], [`request_id`], [`body`]; results: [`reply`], [`error`]. [`rate`] bounds how much a caller and a tenant ask;
//! `cors` lets pages of other origins ask. [`contract`] emits the OpenAPI document, [`document`] serves it;
//! [`probes`] are the operations without a tenant.

pub mod base_path;
pub mod body;
pub mod caller;
mod connection;
pub mod contract;
mod cors;
pub mod document;
pub mod error;
pub mod header;
pub mod probes;
pub mod query;
pub mod rate;
pub mod reply;
pub mod request_id;
pub mod server;
pub mod stack;
pub mod tag;
mod unread;

pub use base_path::BASE_PATH;
