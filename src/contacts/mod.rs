//! Contacts: the people at a customer.
//!
//! Rules: a contact belongs to one customer for good. At most one contact of a customer is primary; making one primary
//! demotes the former in the same change, and deleting the primary promotes nobody. Deleting a contact keeps its
//! follow-ups and clears their reference.
//!
//! Reading order: [`api`] the operations · [`types`] the contract · `store` the queries · `entity` the row.

pub(crate) mod api;
mod entity;
pub(crate) mod store;
pub mod types;

pub(crate) use api::ContactsApi;
pub(crate) use entity::{CONTACTS, Entity};
pub(crate) use store::CASCADES;
pub use types::{Contact, ContactCreate, ContactUpdate};
