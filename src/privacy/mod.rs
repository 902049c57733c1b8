//! What a person may ask of whoever keeps their data: that it is erased, and a copy of it.
//!
//! **Erasure.** The customer stays, and what refers to it, but nobody can tell any more who it was: names become `erased`,
//! phone numbers and addresses are gone, with what they are found by; on request also the texts of its follow-ups. This takes
//! effect for the customer and the first 200 contacts and follow-ups at once ([`request`]), in the transaction that accepts it.
//! What may be much follows in steps that a restart
//! takes up again ([`steps`]): further contacts, follow-ups, and every stored event about them, also about those that are
//! deleted. Last the database's log is emptied. Then the erasure is complete, and its certificate says so.
//!
//! Titles of opportunities stay: they say what is sold.
//!
//! **Export** ([`export`]): all that is kept about a customer, as one document from one snapshot.
//!
//! **A tenant that leaves** ([`tenant`]): all that is kept of it goes, except its audit trail.
//!
//! Reading order: [`api`] and [`types`] · [`entity`] · [`request`] · [`steps`] · [`stored_events`] · [`export`] · [`tenant`].

mod api;
mod entity;
pub mod export;
mod request;
mod steps;
mod stored_events;
pub mod tenant;
pub mod types;

pub use api::PrivacyApi;
pub use request::erase_by_operator;
pub use steps::{ERASURES, ErasureStep, LogEmptying, PENDING, PendingErasure, pending, run};
