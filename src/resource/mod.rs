//! What a resource is: its [`Kind`], and the traits that its entity and its type of the contract implement.
//!
//! | trait | says |
//! |---|---|
//! | [`Resource`] | what its rows have in common with those of every other, and what the audit trail may hold of them |
//! | [`OfCustomer`] | that they belong to a customer |
//! | [`Published`] | what other services learn of a change |
//! | [`Projection`] | how a row becomes what callers see |

mod audit_field;
mod kind;
mod projection;
mod published;
mod row;

pub use audit_field::AuditField;
pub use kind::Kind;
pub use projection::Projection;
pub use published::{Action, Published};
pub use row::{OfCustomer, Resource};
