//! Customers: the organisations and people the company sells to.
//!
//! Rules: `status` is 0 for a prospect and 1 once a contract is signed; the API shows it and never sets it. Deleting a
//! customer deletes its contacts, opportunities and follow-ups in the same change.
//!
//! Reading order: [`api`] the operations · [`types`] the contract · `status` the status · `store` the queries · `entity` the row.

pub(crate) mod api;
mod entity;
mod status;
pub(crate) mod store;
pub mod types;

pub(crate) use api::CustomersApi;
pub use entity::CUSTOMERS;
pub(crate) use entity::Entity;
pub use types::{Customer, CustomerCreate, CustomerUpdate};
