//! The audit trail: who did what, when, and to which resource.
//!
//! - **Changes.** Every resource that a change creates, updates or deletes leaves one entry, written in the change's
//!   transaction ([`crate::change`]): both are committed or neither is. A change that fails or has no effect leaves
//!   none.
//! - **Reads and rejections.** Responses that show phone numbers or e-mail addresses unmasked without changing the
//!   resource, and rejected requests of a caller with a valid token (403, 409), are recorded outside the request, through
//!   a bounded queue ([`queue`]). It can neither slow down nor fail a request; entries that do not fit are counted in the
//!   log. Rejections that repeat are counted, not recorded one by one ([`refusals`]).
//! - **No personal data.** An entry names the fields that changed, with old and new values only for those that are not
//!   personal data ([`field_change`]).
//! - **Append-only.** The database rejects updates of entries, and all deletions but those by [`retention`].
//! - **Chained.** Each tenant's entries are linked by hash ([`chain`]) shortly after the commit, so that writers of one
//!   tenant do not wait for each other. `crm audit verify` finds entries that were changed, removed or inserted.
//!
//! Reading order: [`field_change`] · [`entry`] · [`queue`], [`reading`], [`refusals`] · [`chain`] · [`retention`], [`chain_store`] · then, as in every
//! resource, [`api`] · [`types`] · [`store`] · [`entity`].

pub mod api;
pub mod chain;
mod chain_store;
mod entity;
pub mod entry;
pub mod field_change;
pub mod queue;
pub mod reading;
pub mod refusals;
pub mod retention;
pub(crate) mod store;
pub mod types;

pub use api::AuditLogsApi;
pub use entity::AuditAction;
pub(crate) use entity::logs;
pub use entry::{AuditEntry, AuditedAction};
pub use queue::AuditQueue;
pub use refusals::{Refusals, Refused};
pub use store::{after as entries_after, tenants as audited_tenants};
