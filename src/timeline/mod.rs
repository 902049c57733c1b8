//! The timeline of a customer: what happened to it and to what belongs to it, in one stream, newest first.
//!
//! - **Drawn from the trail.** An item is an entry of the audit trail about a change, and holds nothing that the entry does not:
//!   the same fields, with values for those alone that are not personal data, and the same sentence. What the entry is to the
//!   customer, a pure function tells from it ([`item`]).
//! - **Written with the change**, in its transaction ([`crate::change`]). An entry about a row that moves from one customer to
//!   another stands with both.
//! - **Kept as long as the customer**: the retention of the trail does not touch it. Once the customer is gone, it goes in steps.
//! - **Filled from the trail** ([`fill`]): what was there before, and what the release before writes, in steps that a restart takes
//!   up again. Since when a timeline is whole, it says itself ([`store::since`]).
//!
//! Reading order: [`kind`] and [`types`] contract types · [`item`] what an entry is to a customer · [`entity`] the table ·
//! [`store`] queries · [`fill`] what is written afterwards.

mod entity;
pub mod fill;
mod item;
mod kind;
pub(crate) mod store;
pub mod types;

pub(crate) use entity::Model;
pub(crate) use item::items;
pub use kind::TimelineType;
