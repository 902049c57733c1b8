//! Receipts: what came of a request whose reply was lost. A claim on a key is written with the change, so it is the proof of it
//! ([`crate::change`]).
//!
//! Reading order: [`api`] · [`types`].

mod api;
pub mod types;

pub use api::ReceiptsApi;
pub use types::actions;
