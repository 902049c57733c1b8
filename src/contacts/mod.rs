//! Contacts: the people at a customer.
//!
//! Rules: the customer of a contact cannot change. A customer has at most one primary contact: making another one
//! primary demotes it in the same change, and deleting it promotes no other. Deleting a contact keeps its follow-ups
//! and clears their reference to it.
//!
//! Reading order: [`api`] operations · [`types`] contract types · `store` queries · `entity` table.

pub(crate) mod api;
mod entity;
pub(crate) mod store;
pub mod types;

pub(crate) use api::ContactsApi;
pub(crate) use entity::{Entity, SEALED};
pub use types::{Contact, ContactCreate, ContactUpdate};
