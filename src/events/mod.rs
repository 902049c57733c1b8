//! The log of domain events: what happened to a resource, published for other services.
//!
//! - **None lost, none invented.** An event is written into the outbox in the transaction of the change that it is about
//!   ([`outbox`]): both are there or neither. What is refused or changes nothing has none.
//! - **In order.** Events of one resource are numbered by `version`, from 1. All events are assigned a position once they are
//!   committed, in an order that keeps each resource's: readers that follow positions never skip one.
//! - **No personal data.** An event holds the resource as the API shows it, with phone numbers and e-mail addresses masked.
//! - **Read over HTTP** at `GET /events` ([`feed`]), for as long as they are kept.
//!
//! They are sent to a broker by `relay`; the platform's own are consumed by `inbound`.
//!
//! Reading order: [`event`] · [`outbox`] · [`signal`] · [`feed`] · [`api`] and [`types`].

pub mod api;
mod entity;
pub mod event;
pub(crate) mod feed;
pub mod outbox;
pub mod signal;
pub mod types;

pub use api::EventsApi;
pub(crate) use entity::Model;
pub use signal::EventSignal;
