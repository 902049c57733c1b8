//! The service put together: [`resources`] is the one list of the resources; from it come the [`operations`], the OpenAPI
//! [`contract`] and the [`asyncapi`] document. [`endpoints`] puts the operations into the service stack, [`refusals`] says what
//! a refused request leaves in the audit trail, [`private`] serves probes and metrics at an address of their own.

pub mod asyncapi;
pub mod contract;
pub mod endpoints;
pub mod operations;
pub mod private;
pub mod refusals;
pub mod resources;

pub use endpoints::{authenticator, private_service, service, service_with};
