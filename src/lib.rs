//! Multi-tenant customer relationship management, behind one OpenAPI contract.
//!
//! In reading order, following a `POST /customers`:
//!
//! 1. [`http::stack`]: the service stack with request id, trace, response time and one error shape.
//! 2. [`http::caller`]: the token becomes a [`http::caller::Caller`] with a tenant. 401, 403.
//! 3. `customers::types`: the body is deserialized strictly into the contract's types ([`values`], [`pii`]). 400.
//! 4. `customers::api`: the operation, in about ten lines.
//! 5. [`change`]: opens the transaction and claims the key of the request. 409.
//! 6. `customers::store`: encrypts personal data ([`pii`]) and inserts the row through the change, which adds an entry
//!    to the audit trail ([`audit`]) and an event to the outbox ([`events`]), and creates the response from the row.
//! 7. [`database`]: commits, and only then is the response sent. The write executor shows why a 2xx means that COMMIT
//!    succeeded.
//!
//! Each module may use those declared above it, never those below; a test enforces this.

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

pub mod timeline;

pub mod change;

pub mod app;

pub mod contacts;
pub mod customers;
pub mod follow_ups;
pub mod opportunities;

pub mod overview;
pub mod pipeline;

pub mod privacy;
pub mod receipts;
pub mod search;

pub mod broker;

pub mod inbound;
pub mod relay;

pub mod background;

pub mod service;

pub mod demo;

pub mod verify;

pub mod cli;
