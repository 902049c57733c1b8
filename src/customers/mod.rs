//! Customers: the organisations and people the company sells to.
//!
//! Rules: `status` is 0 for a prospect and 1 once a contract is signed; the API shows it and never sets it. Deleting a
//! customer deletes its contacts, opportunities and follow-ups in the same change.
//!
//! Reading order: [`api`] the operations · [`types`] the contract · `store` the queries · `entity` the row.

pub mod api;
mod entity;
pub(crate) mod store;
pub mod types;

pub use api::CustomersApi;
pub(crate) use entity::{Entity, PII};
pub use types::{Customer, CustomerCreate, CustomerStatus, CustomerUpdate};
