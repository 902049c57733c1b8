//! What goes on beside the requests: audit entries are written and chained, events are assigned positions, published and
//! consumed, what belongs to deleted resources is removed, what is searched by is indexed anew, old data is deleted.
//!
//! Reading order: `tasks` which tasks a process runs · `adapters` what a task does in a step, and when it takes the next ·
//! [`remove_deleted`], [`erase`], [`business_figures`] and [`queues`] likewise · [`steps`] what is done in steps, slowly: [`reindex`],
//! [`search`], [`stage_history`], [`timeline`] · `supervisor` the loop that all of them run in · [`retention`] what is past its time.

mod adapters;
mod business_figures;
mod erase;
pub mod queues;
mod reindex;
mod remove_deleted;
pub mod retention;
mod search;
mod stage_history;
mod steps;
mod supervisor;
mod tasks;
mod timeline;

pub use retention::{Purged, purge};
pub use tasks::Background;
