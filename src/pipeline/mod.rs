//! The pipeline of a tenant: how many opportunities are in which stage, what becomes of them, what is to be expected, and what is
//! stuck.
//!
//! Nothing here reads the opportunities: all figures come from the totals that triggers keep ([`crate::database::pipeline`]), and
//! the list of what is stuck from an index. Each reply is of one instant. Amounts are in the currency's minor unit, amounts of
//! different currencies are never added, and what is divided is rounded to whole numbers, a half to the even one.
//!
//! | figure | formula |
//! |---|---|
//! | weighted amount | sum of the amounts × probability of the stage / 100 |
//! | mean age in a stage | now − mean of the times at which they came there |
//! | win rate | won / (won + lost) × 100, of those that came into Won or Lost in the window and are still there |
//! | mean days to close | mean time of these from their creation to that |
//! | conversion | moves from one stage to another / all moves out of the first one × 100, in the window |
//! | time to close, from a stage | sum of the mean times in this and each later open stage, of the last 365 days |
//! | forecast | weighted amount in the interval in which they are to be closed by that: never before now |
//!
//! Reading order: [`api`] the operations · [`types`] contract types · [`summary`] · [`forecast`] · [`gauges`] over all tenants.

mod api;
pub mod forecast;
pub mod gauges;
pub mod summary;
pub mod types;

pub use api::PipelineApi;
