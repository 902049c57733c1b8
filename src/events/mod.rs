//! Domain events: what happened to a resource, told to others.
//!
//! - **None lost, none invented.** An event is written into the outbox in the transaction of the change that it tells of
//!   ([`outbox`]): both are there or neither. What is refused or changes nothing has none.
//! - **In order.** Events of one resource are numbered by `version`, from 1. All events get a position once they are
//!   committed, in an order that keeps each resource's: readers that follow positions never pass one by.
//! - **No personal data.** An event holds the resource as the API shows it, with phone numbers and e-mail addresses masked.
//! - **Read over HTTP** at `GET /events` ([`feed`]), for as long as they are kept.
//! - **Published** to a broker where there is one, at least once ([`relay`]); the platform's own are taken from it and
//!   applied once ([`inbound`]). [`broker`] is what is spoken to.
//!
//! What an event looks like is frozen like the API ([`document`] emits `openapi/events.yaml`).
//!
//! Reading order: [`event`] · [`outbox`] · [`feed`] · [`api`] and [`types`] · [`broker`] · [`relay`] · [`inbound`] · [`document`].

pub mod api;
pub mod broker;
pub mod document;
mod entity;
pub mod event;
pub(crate) mod feed;
pub mod inbound;
pub mod outbox;
pub mod relay;
pub mod types;

pub use api::EventsApi;
pub use event::{Action, Evented};
pub use outbox::Outbox;
