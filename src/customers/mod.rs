//! Customers: the organisations and people the company sells to.
//!
//! Rules: `status` is 0 for a prospect and 1 once a contract is signed; it is read-only in the API. Deleting a customer
//! deletes everything that belongs to it in the same change; what that is, the resources declare that refer to it.
//!
//! Reading order: [`api`] operations · [`types`] contract types · `status` · `store` queries · `entity` table.

pub(crate) mod api;
mod entity;
mod status;
pub(crate) mod store;
pub mod types;

pub(crate) use api::CustomersApi;
pub use entity::CUSTOMERS;
pub(crate) use entity::{Entity, SEALED};
pub use types::{Customer, CustomerCreate, CustomerUpdate};
