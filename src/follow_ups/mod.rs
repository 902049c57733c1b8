//! Follow-ups: records of what was said or done, about a customer, an opportunity, a contact, or none of them.
//!
//! Rules: the opportunity and the contact belong to the follow-up's customer. A check here gives a clear error message;
//! foreign keys in the table enforce it. If no customer is given, it is taken from them.
//!
//! Reading order: [`api`] operations · [`types`] contract types · `store` queries · `entity` table.

pub(crate) mod api;
mod entity;
pub(crate) mod store;
pub mod types;

pub(crate) use api::FollowUpsApi;
pub(crate) use entity::{Entity, FOLLOW_UPS};
pub use types::{FollowUp, FollowUpCreate, FollowUpUpdate};
