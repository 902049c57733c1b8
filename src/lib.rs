//! The CRM cell: customers, contacts, opportunities and follow-ups for many tenants, behind one truthful contract.
//!
//! In reading order, with a `POST /customers` in hand:
//!
//! 1. [`http`] the membrane: request id, one error shape, response time, routing, the contract.
//! 2. [`http::caller`] the token becomes a [`http::caller::Caller`] with a tenant. 401, 403.
//! 3. [`customers::types`] the body is read strictly into the contract's types ([`values`], [`pii`]). 400.
//! 4. [`customers::api`] the story of the operation, in about ten lines.
//! 5. [`change`] opens the one transaction and claims the request id. 409.
//! 6. `customers::store` seals what is personal ([`pii`]) and writes the row through the change, which leaves an entry in the
//!    trail ([`audit`]).
//! 7. [`http::show`] makes the reply from the row.
//! 8. [`database`] commits; the reply leaves. Its write executor shows why a 2xx means that COMMIT returned.
//!
//! What happened is told to others by [`events`], written with the change.
//!
//! Around them: [`app`] what requests share · [`config`] the environment · [`kind`] the kinds of resources · [`error`] the one
//! error · [`auth`] tokens · [`telemetry`] logs and traces · [`background`] what goes on beside the requests · [`secret_file`]
//! files made once · [`cli`] the commands.

pub mod app;
pub mod audit;
pub mod auth;
pub mod background;
pub mod change;
pub mod cli;
pub mod config;
pub mod database;
pub mod error;
pub mod events;
pub mod http;
pub mod kind;
pub mod pii;
pub mod secret_file;
pub mod telemetry;
pub mod values;

pub mod contacts;
pub mod customers;
pub mod follow_ups;
pub mod opportunities;
