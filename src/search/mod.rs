//! Searching all resources of a tenant at once: by parts of names, titles and contents, and by whole phone numbers and e-mail
//! addresses.
//!
//! The rows are found by the index of [`crate::database::search`]; which words stand where is told from the rows themselves.
//!
//! Reading order: [`api`] the operation · [`types`] contract types · [`query`] what is searched · [`store`] what is found ·
//! [`highlight`] where it stands.

mod api;
mod highlight;
mod query;
mod store;
pub mod types;

pub use api::SearchApi;
