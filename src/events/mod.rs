//! The log of domain events: what happened to resources, published for other services.
//!
//! - **Atomic.** An event is written to the outbox in the transaction of its change ([`outbox`]): both are committed or
//!   neither is. A change that fails or has no effect has no event.
//! - **Ordered.** Events of a resource are numbered by `version`, from 1. Once committed, all events are assigned a
//!   position in the outbox and one in the feed of their tenant, without gaps, in an order that preserves each resource's:
//!   readers that follow positions never skip one.
//! - **Masked.** An event holds the resource as the API shows it, with phone numbers and e-mail addresses masked.
//! - **Summed up** by resource at `GET /changes` ([`changes`]), for copies of the data: there nothing is missing, however old.
//! - **Read over HTTP** at `GET /events` ([`feed`]), for as long as they are kept. One that is damaged is reported as a gap, so
//!   that it closes the feed to nobody.
//!
//! `relay` sends them to a broker; `inbound` consumes the platform's own.
//!
//! Reading order: [`event`] · [`outbox`] · [`signal`] · [`cursor`] · [`feed`] · [`api`] and [`types`] · [`changes`] · [`erasure`].

pub mod api;
pub mod changes;
pub mod cursor;
mod damage;
mod entity;
pub(crate) mod erasure;
pub mod event;
mod feed;
mod list;
pub mod outbox;
pub mod signal;
pub mod types;

pub use api::EventsApi;
pub use changes::ChangesApi;
pub(crate) use entity::Model;
pub use signal::{EventSignal, WaiterLimits};
