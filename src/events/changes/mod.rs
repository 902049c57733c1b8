//! Changes: the last change of each resource, for whoever keeps a copy of the data.
//!
//! The table `resource_changes` has a row for each resource, deleted ones among them, at the position of its latest event in
//! the feed of the tenant; the database itself keeps it, by a trigger on the feed. A reader walks it by type and position
//! ([`walk`]), and goes on from its end: what changes moves there. Deletions are kept for some time ([`retention`]); a reader
//! who may have missed one is told to begin anew, as [`cursor`] notices.
//!
//! Reading order: [`cursor`] · [`walk`] · [`types`] and [`api`] · [`retention`].

pub mod api;
pub mod cursor;
pub mod retention;
pub mod types;
mod walk;

pub use api::ChangesApi;
