//! Opportunities: possible sales to a customer.
//!
//! Rules: the customer of an opportunity cannot change. `status` always follows from `stage` ([`stage`]): the type that
//! decides both enforces it, and so does a table constraint. Amounts are in the currency's minor unit. Deleting an
//! opportunity keeps its follow-ups and clears their reference to it.
//!
//! Reading order: [`api`] operations · [`types`] contract types · [`stage`] stages and status · `store` queries · [`history`] the
//! stages that they were in · `entity` table.

pub(crate) mod api;
mod entity;
pub mod history;
pub mod stage;
pub(crate) mod store;
pub mod types;

pub(crate) use api::OpportunitiesApi;
pub(crate) use entity::Entity;
pub use history::StageHistory;
pub use stage::{OpportunityStage, OpportunityStatus};
pub use types::{Opportunity, OpportunityCreate, OpportunityUpdate};
