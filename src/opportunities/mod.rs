//! Opportunities: possible sales to a customer.
//!
//! Rules: an opportunity belongs to one customer for good. `status` is always the kind of the `stage` ([`stage`]), by
//! the type that decides both and by a constraint of the table. Amounts are in the currency's minor unit. Deleting an
//! opportunity keeps its follow-ups and clears their reference.
//!
//! Reading order: [`api`] the operations · [`types`] the contract · [`stage`] stages and status ·
//! `store` the queries · `entity` the row.

pub(crate) mod api;
mod entity;
pub mod stage;
pub(crate) mod store;
pub mod types;

pub(crate) use api::OpportunitiesApi;
pub(crate) use entity::{Entity, OPPORTUNITIES};
pub use stage::{OpportunityStage, OpportunityStatus};
pub(crate) use store::CASCADES;
pub use types::{Opportunity, OpportunityCreate, OpportunityUpdate};
