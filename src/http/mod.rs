//! HTTP: the service stack, between the connection and the operations.
//!
//! [`stack`] defines the order in which a request passes through it. [`server`] listens; [`limits`] are what both allow,
//! [`head`] and [`in_flight`] apply some of them, [`rate`] those of a caller and a tenant. Handler arguments: [`caller`] (with
//! [`access`]), [`query`], [`pages`], [`listing`], [`request_id`], [`precondition`], [`body`] (with [`media_type`]); results: [`reply`], [`error`]. `cors`
//! lets pages of other origins ask.
//! [`contract`] emits the OpenAPI document, [`document`] serves it;
//! [`probes`] are the operations without a tenant.

pub mod access;
pub mod base_path;
pub mod body;
pub mod caller;
pub mod contract;
mod cors;
pub mod counted;
pub mod document;
pub mod error;
mod error_resource;
pub mod head;
pub mod header;
pub mod identified;
pub mod in_flight;
pub mod limits;
pub mod listing;
pub mod media_type;
pub mod pages;
pub mod position;
pub mod precondition;
pub mod probes;
pub mod query;
pub mod rate;
pub mod reply;
pub mod request_id;
pub mod server;
pub mod stack;
pub mod tag;

pub use base_path::BASE_PATH;
