//! Customer relationship management for many tenants, behind one truthful contract.
//!
//! In reading order, with a `POST /customers` in hand:
//!
//! 1. [`http::stack`] the service stack: request id, trace, one error shape, response time.
//! 2. [`http::caller`] the token becomes a [`http::caller::Caller`] with a tenant. 401, 403.
//! 3. `customers::types` the body is read strictly into the contract's types ([`values`], [`pii`]). 400.
//! 4. `customers::api` the story of the operation, in about ten lines.
//! 5. [`change`] opens the one transaction and claims the request id. 409.
//! 6. `customers::store` seals what is personal ([`pii`]) and writes the row through the change, which leaves an entry in the
//!    trail ([`audit`]) and an event in the outbox ([`events`]), and makes the reply from the row.
//! 7. [`database`] commits; the reply leaves. Its write executor shows why a 2xx means that COMMIT returned.
//!
//! Every room below may use those above it in this list, and none below it; a test holds that.

pub mod error;
pub mod values;

pub mod telemetry;

pub mod config;

pub mod database;

pub mod auth;
pub mod pii;

pub mod http;

pub mod resource;

pub mod audit;

pub mod events;

pub mod change;

pub mod app;

pub mod contacts;
pub mod customers;
pub mod follow_ups;
pub mod opportunities;

pub mod broker;

pub mod inbound;
pub mod relay;

pub mod background;

pub mod service;

pub mod cli;
