//! The stage history of opportunities: in which stage each was, from when to when, and who moved it there.
//!
//! Triggers write it in the transaction of the change, whichever release makes it; who makes the change writes who that is. An
//! opportunity that was there before the history gets it in the background, from the audit trail as far as that reaches.
//!
//! Reading order: [`types`] contract types · [`store`] reading it, saying who made a move · [`fill`] filling it in · [`entity`]
//! table.

mod entity;
pub mod fill;

pub(crate) mod store;
pub mod types;

pub(crate) use store::{attribute, page};
pub use types::{StageHistory, StageStay};
