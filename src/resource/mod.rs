//! What a resource is: its [`Kind`], and what its entity and its contract type declare.
//!
//! | | defines |
//! |---|---|
//! | [`Resource`] | what the rows of all resources have in common, and what the audit trail may record of them |
//! | [`Reference`] | what the rows refer to, and what becomes of them when that is deleted |
//! | [`OfCustomer`] | that the resource belongs to a customer |
//! | [`Erasable`] | which personal data can be erased |
//! | [`totals`] | how many rows a list has, without counting them |
//! | [`searching`] | the rows whose text holds searched words |
//! | [`Published`] | which events are published about a change |
//! | [`Projection`] | how a row becomes what callers see |

mod audit_field;
pub(crate) mod deletion;
mod erasable;
mod finder;
mod kind;
mod projection;
mod published;
mod row;
pub mod searching;
pub mod totals;

pub use audit_field::AuditField;
pub use erasable::{ERASED, Erasable, PersonalData, PersonalField};
pub use finder::is_being_cleared;
pub use kind::Kind;
pub use projection::{Projection, entity_tag};
pub use published::{Action, Published};
pub use row::{OfCustomer, OnDelete, Reference, Resource};
