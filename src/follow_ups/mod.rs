//! Follow-ups: what was said and done, about a customer, an opportunity, a contact, or none of them.
//!
//! Rules: the opportunity and the contact belong to the follow-up's customer, by a check with a clear answer here and by
//! foreign keys in the table; where the customer is not named it is taken from them.
//!
//! Reading order: [`api`] the operations · [`types`] the contract · `store` the queries · `entity` the row.

pub(crate) mod api;
mod entity;
pub(crate) mod store;
pub mod types;

pub(crate) use api::FollowUpsApi;
pub(crate) use entity::{Entity, FOLLOW_UPS};
pub(crate) use store::CASCADES;
pub use types::{FollowUp, FollowUpCreate, FollowUpUpdate};
