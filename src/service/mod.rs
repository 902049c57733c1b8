//! The service, assembled. [`resources`] is the only list of resources; the [`operations`], the OpenAPI [`contract`]
//! and the [`asyncapi`] document derive from it, and [`pages`] show them to people. [`endpoints`] wraps the operations in the
//! service stack, [`refusals`] turns rejected requests into audit entries, and [`private`] serves probes and metrics at an
//! address of their own.

pub mod asyncapi;
pub mod compatibility;
pub mod contract;
pub mod endpoints;
pub mod operations;
pub mod pages;
pub mod private;
pub mod refusals;
pub mod resources;

pub use endpoints::{authenticator, private_service, service, service_with};
