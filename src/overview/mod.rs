//! A customer, or an opportunity, in one look: the resource and the first of what belongs to it, with totals, from one snapshot; and
//! the timeline of a customer ([`crate::timeline`]), page by page.
//!
//! Nothing here grows with what there is: totals and amounts are kept, the rest is read from the beginning of an index. The number
//! of statements is always the same.
//!
//! Reading order: [`api`] the operations · [`types`] contract types · [`store`] what is read.

mod api;
mod store;
pub mod types;

pub use api::OverviewApi;
